import { fileURLToPath } from "node:url";
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const examples = path("../../examples");
const packages = Object.fromEntries(
  ["react", "react-dom", "vue"].map((name) => [name, path(`./node_modules/${name}`)]),
);

/** Builds the examples with the built client and the packages of this folder. */
export default defineConfig({
  root: examples,
  base: "./",
  plugins: [vue()],
  resolve: { alias: { "@tickwire/client": path("./dist/index.js"), ...packages } },
  build: {
    rolldownOptions: { input: ["react", "vue", "page"].map((name) => `${examples}/${name}/index.html`) },
    emptyOutDir: true,
  },
  worker: { format: "es" },
});
