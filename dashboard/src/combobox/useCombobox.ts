import { useEffect, useRef, useState } from "preact/hooks";

/** Suggestions under an input, by the combobox pattern of WAI-ARIA: the input keeps the focus. */
export interface Combobox {
  open: boolean;
  active: number; // the index of the suggestion that Enter picks; -1 for none
  setOpen: (open: boolean) => void;
  setActive: (index: number) => void;
  /** Handle a key press. Return whether the list used it. */
  onKey: (event: KeyboardEvent) => boolean;
  /** The ARIA attributes of the input. */
  aria: Record<string, string | boolean | undefined>;
}

/**
 * Manage the suggestions of an input.
 *
 * `initial` is the active index when the suggestions change: 0, or -1 if Enter has its own meaning in the input.
 */
export function useCombobox(id: string, count: number, initial: 0 | -1, pick: (index: number) => void): Combobox {
  const [requested, setOpen] = useState(false);
  const [active, setActive] = useState<number>(initial);
  const open = requested && count > 0;
  const current = Math.min(active, count - 1);
  useScrollIntoView(open ? `${id}-${current}` : "");
  const onKey = (event: KeyboardEvent): boolean => {
    // An input method uses the keys while composing.
    if (event.isComposing) return false;
    const handled = keyActions({ open, current, count, initial, setOpen, setActive, pick })[event.key]?.() ?? false;
    if (handled) event.preventDefault();
    return handled;
  };
  const aria = {
    role: "combobox",
    "aria-autocomplete": "list",
    "aria-expanded": open ? "true" : "false",
    "aria-controls": open ? id : undefined,
    "aria-activedescendant": open && current >= 0 ? `${id}-${current}` : undefined,
  };
  return { open, active: current, setOpen, setActive, onKey, aria };
}

interface ComboboxState {
  open: boolean;
  current: number;
  count: number;
  initial: number;
  setOpen: (open: boolean) => void;
  setActive: (index: number) => void;
  pick: (index: number) => void;
}

function keyActions({
  open,
  current,
  count,
  initial,
  setOpen,
  setActive,
  pick,
}: ComboboxState): Record<string, () => boolean> {
  const show = (index: number): boolean => {
    if (count === 0) return false;
    setActive(open ? index : Math.max(0, current));
    setOpen(true);
    return true;
  };
  const pickActive = (): boolean => {
    if (!open || current < 0) return false;
    pick(current);
    return true;
  };
  return {
    ArrowDown: () => show((current + 1) % count),
    ArrowUp: () => show((current <= 0 ? count : current) - 1),
    Enter: pickActive,
    Tab: pickActive,
    Escape: () => {
      setOpen(false);
      setActive(initial);
      return open;
    },
  };
}

/** Scroll the active suggestion into view. */
function useScrollIntoView(id: string): void {
  const last = useRef("");
  useEffect(() => {
    if (id && id !== last.current) document.getElementById(id)?.scrollIntoView({ block: "nearest" });
    last.current = id;
  }, [id]);
}
