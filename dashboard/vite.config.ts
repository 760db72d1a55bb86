import { defineConfig } from "vite";

const SERVER = "http://127.0.0.1:8000"; // `make run`, behind `npm run dev`

export default defineConfig({
  base: "./", // the server may be mounted below another application
  build: {
    outDir: "../src/tickwire/server/pages/app",
    emptyOutDir: true,
    assetsDir: "app",
    assetsInlineLimit: 0, // the page's policy allows files of its own origin only
    modulePreload: { polyfill: false }, // every browser that has what we use has it
    target: "es2023",
  },
  server: { proxy: { "/v1": SERVER, "/readyz": SERVER, "/healthz": SERVER, "/docs": SERVER, "/openapi.json": SERVER } },
});
