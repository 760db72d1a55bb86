import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Suggestions } from "../combobox/Suggestions";
import { useCombobox } from "../combobox/useCombobox";
import { usePinyin } from "../format/pinyin";
import { instruments, quotes } from "../live/marketData";
import { navigate } from "../shell/route";
import { instrumentName, words } from "../words";
import { findItems, type PaletteItem } from "./commands";
import { KeyList } from "./KeyList";
import { allCommands } from "./paletteCommands";
import { openDialog } from "./paletteKeys";

/** The dialog that is open: the command palette or the list of keys. */
export default function Palette() {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = openDialog.value;
  useLayoutEffect(() => {
    if (open === null) dialog.current?.close();
    else if (!dialog.current?.open) dialog.current?.showModal();
  }, [open]);
  const { palette } = words.value;
  return (
    <dialog
      ref={dialog}
      class="palette"
      aria-label={open?.name === "keys" ? palette.keys : palette.title}
      onClose={close}
      // The area around the content belongs to the dialog.
      onClick={(event) => event.target === dialog.current && close()}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
      {open?.name === "palette" && <Search initial={open.text} />}
      {open?.name === "keys" && <KeyList />}
    </dialog>
  );
}

function close(): void {
  openDialog.value = null;
}

const LIST = "palette-items";

function Search({ initial }: { initial: string }) {
  const [text, setText] = useState(initial);
  const field = useRef<HTMLInputElement>(null);
  const symbols = [...instruments.value.keys(), ...quotes.keys()];
  usePinyin(text, instruments.value);
  const items = findItems(text, allCommands(), symbols, instruments.value);
  const list = useCombobox(LIST, items.length, 0, (index) => pick(items[index]));
  useLayoutEffect(() => {
    list.setOpen(true);
    field.current?.focus();
    field.current?.setSelectionRange(initial.length, initial.length);
  }, []);
  const { palette } = words.value;
  return (
    <>
      <input
        ref={field}
        type="text"
        {...list.aria}
        aria-label={palette.title}
        placeholder={palette.placeholder}
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          list.setActive(0);
          list.setOpen(true);
        }}
        // Escape must close the dialog, and not only the list of suggestions.
        onKeyDown={(event) => event.key !== "Escape" && list.onKey(event)}
      />
      {items.length === 0 && <p class="note">{palette.nothing}</p>}
      {list.open && (
        <Suggestions
          id={LIST}
          label={palette.title}
          active={list.active}
          onPick={(index) => pick(items[index])}
          options={items.map((item) => ({ key: keyOf(item), shown: <ItemText item={item} /> }))}
        />
      )}
    </>
  );
}

const keyOf = (item: PaletteItem): string => (item.kind === "symbol" ? item.match.symbol : `> ${item.command.id}`);

function pick(item: PaletteItem | undefined): void {
  if (!item) return;
  close();
  if (item.kind === "symbol") navigate("chart", [item.match.symbol]);
  else item.command.run();
}

function ItemText({ item }: { item: PaletteItem }) {
  if (item.kind === "command") return <span>{item.command.title}</span>;
  const { symbol, about } = item.match;
  return (
    <>
      <strong>{symbol}</strong>
      <small>{instrumentName(about)}</small>
      <span class="spring" />
      <small>{about?.sector}</small>
    </>
  );
}
