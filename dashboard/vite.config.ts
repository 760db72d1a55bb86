import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// The server that `make run` starts. `npm run dev` forwards requests to it.
const SERVER = "http://127.0.0.1:8000";

export default defineConfig({
  // Relative, because the server may be mounted below another application.
  base: "./",
  resolve: {
    // The page is built from the sources of the JavaScript client, with the packages of this folder.
    alias: { "@tickwire/client": fileURLToPath(new URL("../clients/js/src/index.ts", import.meta.url)) },
    dedupe: ["eventsource-parser"],
  },
  worker: { format: "es" },
  build: {
    outDir: "../src/tickwire/server/pages/app",
    emptyOutDir: true,
    assetsDir: "app",
    // One style sheet for all views, loaded with the page: a view can then not lose its own when a request fails.
    cssCodeSplit: false,
    // The Content-Security-Policy allows files of the page's own origin only, not data: URLs.
    assetsInlineLimit: 0,
    // Every browser with the features that we use has module preloading.
    modulePreload: { polyfill: false },
    target: "es2023",
  },
  server: { proxy: { "/v1": SERVER, "/readyz": SERVER, "/healthz": SERVER, "/docs": SERVER, "/openapi.json": SERVER } },
});
