import { useEffect, useRef, useState } from "preact/hooks";

/** A list of suggestions under a box that one types in, by the combobox pattern of WAI-ARIA: the box keeps the focus. */
export interface Suggesting {
  open: boolean;
  active: number; // the place of the one that Enter takes; -1 for none
  setOpen: (open: boolean) => void;
  setActive: (place: number) => void;
  /** Whether the key was for the list. */
  onKey: (event: KeyboardEvent) => boolean;
  /** What the box has to say of its list. */
  aria: Record<string, string | boolean | undefined>;
}

/** `first` is what is active when other suggestions come: 0, or -1 where Enter means something without them. */
export function useList(id: string, count: number, first: 0 | -1, take: (place: number) => void): Suggesting {
  const [wanted, setOpen] = useState(false);
  const [active, setActive] = useState<number>(first);
  const open = wanted && count > 0;
  const at = Math.min(active, count - 1);
  useScrolled(open ? `${id}-${at}` : "");
  const onKey = (event: KeyboardEvent): boolean => {
    if (event.isComposing) return false; // an input method has the keys
    const done = keys({ open, at, count, first, setOpen, setActive, take })[event.key]?.() ?? false;
    if (done) event.preventDefault();
    return done;
  };
  const aria = {
    role: "combobox",
    "aria-autocomplete": "list",
    "aria-expanded": open ? "true" : "false",
    "aria-controls": open ? id : undefined,
    "aria-activedescendant": open && at >= 0 ? `${id}-${at}` : undefined,
  };
  return { open, active: at, setOpen, setActive, onKey, aria };
}

interface State {
  open: boolean;
  at: number;
  count: number;
  first: number;
  setOpen: (open: boolean) => void;
  setActive: (place: number) => void;
  take: (place: number) => void;
}

function keys({ open, at, count, first, setOpen, setActive, take }: State): Record<string, () => boolean> {
  const show = (place: number): boolean => {
    if (count === 0) return false;
    setActive(open ? place : Math.max(0, at));
    setOpen(true);
    return true;
  };
  const accept = (): boolean => {
    if (!open || at < 0) return false;
    take(at);
    return true;
  };
  return {
    ArrowDown: () => show((at + 1) % count),
    ArrowUp: () => show((at <= 0 ? count : at) - 1),
    Enter: accept,
    Tab: accept,
    Escape: () => {
      setOpen(false);
      setActive(first);
      return open;
    },
  };
}

/** Keep the active one in sight. */
function useScrolled(id: string): void {
  const last = useRef("");
  useEffect(() => {
    if (id && id !== last.current) document.getElementById(id)?.scrollIntoView({ block: "nearest" });
    last.current = id;
  }, [id]);
}
