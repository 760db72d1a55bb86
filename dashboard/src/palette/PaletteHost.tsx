import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { openDialog } from "./paletteKeys";
import "./palette.css";

/** The palette, which is loaded when it is first used; null before. */
const loaded = signal<ComponentType | null>(null);

/** The place of the command palette and of the list of keys. */
export function PaletteHost() {
  const Palette = loaded.value;
  if (Palette) return <Palette />;
  if (openDialog.value !== null) void load();
  return null;
}

async function load(): Promise<void> {
  try {
    loaded.value = (await import("./Palette")).default;
  } catch {
    // The server does not answer, which the header shows. The next key press starts another attempt.
    openDialog.value = null;
  }
}
