// Node has no page. A test of a module that stores values in the browser imports this file first.

const values = new Map<string, string>();

Object.assign(globalThis, {
  addEventListener: () => undefined,
  localStorage: {
    getItem: (key: string): string | null => values.get(key) ?? null,
    setItem: (key: string, value: string) => values.set(key, value),
  },
});
