import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { words } from "../words";
import { loaderOf, type ViewName } from "./views";

type Loaded = ComponentType | "loading" | "failed";
const loaded = signal<Partial<Record<ViewName, Loaded>>>({});

/** The view of that name, once its module is here. */
export function View({ name }: { name: ViewName }) {
  useEffect(() => void load(name), [name]);
  const Component = loaded.value[name] ?? "loading";
  if (Component === "loading") return <p class="note">{words.value.shell.loading}</p>;
  if (Component === "failed") return <Failed name={name} />;
  return <Component key={name} />;
}

function Failed({ name }: { name: ViewName }) {
  return (
    <div class="note" role="alert">
      <p>{words.value.shell.failed}</p>
      <button type="button" onClick={() => void load(name)}>
        {words.value.shell.again}
      </button>
    </div>
  );
}

async function load(name: ViewName): Promise<void> {
  const known = loaded.value[name];
  if (known !== undefined && known !== "failed") return;
  put(name, "loading");
  try {
    put(name, (await loaderOf(name)()).default);
  } catch {
    put(name, "failed"); // the server is away, or has been updated since: its files have other names now
  }
}

function put(name: ViewName, what: Loaded): void {
  loaded.value = { ...loaded.value, [name]: what };
}
