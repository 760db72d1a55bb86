import type { ComponentChildren } from "preact";
import "./combobox.css";

interface SuggestionsProps {
  id: string;
  label: string;
  active: number;
  options: readonly { key: string; shown: ComponentChildren }[];
  onPick: (index: number) => void;
}

/** The suggestions of a combobox. Pressing one leaves the focus in the input. */
export function Suggestions({ id, label, active, options, onPick: take }: SuggestionsProps) {
  return (
    <div class="suggestions" role="listbox" id={id} aria-label={label}>
      {options.map(({ key, shown }, index) => (
        <div
          key={key}
          id={`${id}-${index}`}
          role="option"
          tabIndex={-1}
          aria-selected={index === active}
          onMouseDown={(event) => {
            event.preventDefault();
            take(index);
          }}
        >
          {shown}
        </div>
      ))}
    </div>
  );
}
