import { defineConfig } from "vite";

export default defineConfig({
  // The worker's file is beside the library, wherever an application puts both.
  base: "./",
  build: {
    lib: { entry: { index: "src/index.ts", elements: "src/elements.ts" }, formats: ["es"] },
    rolldownOptions: { output: { minify: true } },
    target: "es2023",
  },
  worker: { format: "es" },
});
