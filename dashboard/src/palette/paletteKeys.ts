import { signal } from "@preact/signals";
import { isBoolean, pref } from "../shell/prefs";

/** The open dialog, and the text that the palette starts with; null while none is open. */
export const openDialog = signal<{ name: "palette"; text: string } | { name: "keys" } | null>(null);

/** Whether a letter opens the palette, and `?` the list of keys. Speech input may type letters by mistake. */
export const typingOpens = pref("palette.typing", true, isBoolean, { share: true });

addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openDialog.value = { name: "palette", text: "" };
    return;
  }
  if (event.defaultPrevented || openDialog.value?.name === "keys") return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  // While the palette loads, further letters belong to it, also if a field still has the focus.
  const isLoading = openDialog.value !== null && document.querySelector("dialog[open]") === null;
  if (!isLoading && (!typingOpens.value || isField(event.target))) return;
  const text = openDialog.value?.text ?? "";
  if (event.key === "?" && openDialog.value === null) {
    event.preventDefault();
    openDialog.value = { name: "keys" };
  } else if (/^[\p{L}\p{N}]$/u.test(event.key)) {
    event.preventDefault();
    openDialog.value = { name: "palette", text: text + event.key };
  }
});

/** Whether the element itself uses letter keys: a field accepts text, and a list jumps to the letter. */
const isField = (target: EventTarget | null): boolean =>
  target instanceof Element &&
  target.closest("input, select, textarea, [contenteditable], dialog, :popover-open") !== null;
