import { useRef, useState } from "preact/hooks";
import { Suggestions } from "../choose/Suggestions";
import { useList } from "../choose/useList";
import { instruments, quotes, symbolCount } from "../live/market";
import { words } from "../words";
import { find } from "./find";

const LIST = "symbols-found";

/** A box that shows the symbol, and finds another as one types. What nobody knows yet can be chosen too. */
export function SymbolPicker({ symbol, choose }: { symbol: string; choose: (symbol: string) => void }) {
  const [text, setText] = useState<string | null>(null); // null while nobody types
  const box = useRef<HTMLInputElement>(null);
  void symbolCount.value; // more symbols may trade now
  const found = find(text ?? "", [...instruments.value.keys(), ...quotes.keys()], instruments.value);
  const take = (place: number): void => settle(found[place]?.symbol ?? "");
  const list = useList(LIST, found.length, 0, take);

  function settle(chosen: string): void {
    setText(null);
    list.setOpen(false);
    box.current?.blur();
    if (chosen) choose(chosen);
  }

  return (
    <div class="chooser symbol-picker">
      <input
        ref={box}
        id="symbol"
        type="text"
        {...list.aria}
        aria-label={words.value.chart.symbol}
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
          if (event.key === "Enter" && found.length === 0) settle((text ?? "").trim());
          else if (event.key !== "Tab" && !list.onKey(event) && event.key === "Escape") settle("");
        }}
      />
      {list.open && (
        <Suggestions
          id={LIST}
          label={words.value.chart.found}
          active={list.active}
          take={take}
          options={found.map((each) => ({
            key: each.symbol,
            shown: (
              <>
                <strong>{each.symbol}</strong>
                <small>{each.name}</small>
                <span class="spring" />
                <small>{each.sector}</small>
              </>
            ),
          }))}
        />
      )}
    </div>
  );
}
