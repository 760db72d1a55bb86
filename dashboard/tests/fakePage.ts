// Node has no page. A test of a module that needs a page, or stores values in the browser, imports this file first.

const values = new Map<string, string>();

const globals = {
  addEventListener: () => undefined,
  document: { documentElement: {} },
  navigator: { language: "en" },
  localStorage: {
    getItem: (key: string): string | null => values.get(key) ?? null,
    setItem: (key: string, value: string) => values.set(key, value),
  },
};
// Newer versions of Node have some of these names, without setters.
for (const [name, value] of Object.entries(globals)) {
  Object.defineProperty(globalThis, name, { value, configurable: true });
}
