import { useRef, useState } from "preact/hooks";
import { Suggestions } from "../combobox/Suggestions";
import { useCombobox } from "../combobox/useCombobox";
import { usePinyin } from "../format/pinyin";
import { instruments, quotes, symbolCount } from "../live/marketData";
import { instrumentName, words } from "../words";
import { searchSymbols } from "./symbolSearch";

interface SymbolPickerProps {
  /** The id of the input element. */
  id: string;
  label: string;
  symbol: string;
  choose: (symbol: string) => void;
}

/** An input that shows the symbol and searches for another. It also accepts a symbol that has not traded yet. */
export function SymbolPicker({ id, label, symbol, choose }: SymbolPickerProps) {
  // Null while the user is not typing.
  const [text, setText] = useState<string | null>(null);
  const box = useRef<HTMLInputElement>(null);
  // A new symbol on the market changes the matches.
  void symbolCount.value;
  usePinyin(text ?? "", instruments.value);
  const matches = searchSymbols(text ?? "", [...instruments.value.keys(), ...quotes.keys()], instruments.value);
  const pick = (index: number): void => finish(matches[index]?.symbol ?? "");
  const list = useCombobox(`${id}-matches`, matches.length, 0, pick);

  function finish(choice: string): void {
    setText(null);
    list.setOpen(false);
    box.current?.blur();
    if (choice) choose(choice);
  }

  return (
    <div class="combobox symbol-picker">
      <input
        ref={box}
        id={id}
        type="text"
        {...list.aria}
        aria-label={label}
        placeholder={words.value.chart.symbol}
        autocomplete="off"
        autocapitalize="characters"
        spellcheck={false}
        value={text ?? symbol}
        onFocus={(event) => event.currentTarget.select()}
        onClick={() => list.setOpen(true)}
        onInput={(event) => {
          setText(event.currentTarget.value);
          list.setActive(0);
          list.setOpen(true);
        }}
        onBlur={() => {
          setText(null);
          list.setOpen(false);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && matches.length === 0) finish((text ?? "").trim());
          else if (event.key !== "Tab" && !list.onKey(event) && event.key === "Escape") finish("");
        }}
      />
      {list.open && (
        <Suggestions
          id={`${id}-matches`}
          label={words.value.chart.results}
          active={list.active}
          onPick={pick}
          options={matches.map((each) => ({
            key: each.symbol,
            shown: (
              <>
                <strong>{each.symbol}</strong>
                <small>{instrumentName(each.about)}</small>
                <span class="spring" />
                <small>{each.about?.sector}</small>
              </>
            ),
          }))}
        />
      )}
    </div>
  );
}
