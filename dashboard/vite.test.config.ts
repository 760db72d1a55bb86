import { readdirSync } from "node:fs";
import { defineConfig } from "vite";

// Node 20 cannot run TypeScript, so `npm run test` bundles the tests first. Each test file becomes one module in .tests/.
const tests = readdirSync("tests").filter((name) => name.endsWith(".test.ts"));

export default defineConfig({
  build: {
    ssr: true,
    outDir: ".tests",
    emptyOutDir: true,
    target: "node20",
    rollupOptions: { input: Object.fromEntries(tests.map((name) => [name.replace(/\.ts$/, ""), `tests/${name}`])) },
  },
  // Bundled libraries do not depend on Node's rules for imports.
  ssr: { noExternal: true },
});
