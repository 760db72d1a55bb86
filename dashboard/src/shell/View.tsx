import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { identify } from "../api/identity";
import { connection } from "../live/marketData";
import { words } from "../words";
import { ErrorBoundary } from "./ErrorBoundary";
import { loaderOf, type ViewName } from "./views";

/** A view that failed to load is tried again after this time, and whenever the stream opens. */
const RETRY_MS = 5_000;

type Loaded = ComponentType | "failed";
const loaded = signal<Partial<Record<ViewName, Loaded>>>({});

/** A view, loaded on first use. */
export function View({ name }: { name: ViewName }) {
  useEffect(() => void load(name), [name]);
  const Component = loaded.value[name];
  if (Component === undefined) return <p class="note">{words.value.shell.loading}</p>;
  if (Component === "failed") return <Failed name={name} />;
  return (
    <ErrorBoundary key={name}>
      <Component />
    </ErrorBoundary>
  );
}

/** A view whose files are missing: the server is away, or it was updated and its files have other names now. */
function Failed({ name }: { name: ViewName }) {
  const { shell } = words.value;
  const open = connection.value === "open";
  useEffect(() => {
    if (open) void load(name);
    const timer = window.setInterval(() => void load(name), RETRY_MS);
    return () => window.clearInterval(timer);
  }, [name, open]);
  return (
    <div class="note" role="alert">
      <p>{shell.failed}</p>
      <button type="button" onClick={() => void load(name)}>
        {shell.retry}
      </button>{" "}
      <button type="button" onClick={() => location.reload()}>
        {shell.reload}
      </button>
    </div>
  );
}

const running = new Set<ViewName>();

async function load(name: ViewName): Promise<void> {
  const state = loaded.value[name];
  if ((state !== undefined && state !== "failed") || running.has(name)) return;
  running.add(name);
  try {
    // A view opens its own streams at once, so wait until the page knows the user.
    const [module] = await Promise.all([loaderOf(name)(), identify()]);
    setLoaded(name, module.default);
  } catch {
    setLoaded(name, "failed");
  } finally {
    running.delete(name);
  }
}

function setLoaded(name: ViewName, state: Loaded): void {
  loaded.value = { ...loaded.value, [name]: state };
}
