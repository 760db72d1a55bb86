import type { ComponentChildren } from "preact";
import "./choose.css";

interface Suggested {
  id: string;
  label: string;
  active: number;
  options: readonly { key: string; shown: ComponentChildren }[];
  take: (place: number) => void;
}

/** The suggestions of a box. Pressing does not take the focus from it. */
export function Suggestions({ id, label, active, options, take }: Suggested) {
  return (
    <div class="suggestions" role="listbox" id={id} aria-label={label}>
      {options.map(({ key, shown }, place) => (
        <div
          key={key}
          id={`${id}-${place}`}
          role="option"
          tabIndex={-1}
          aria-selected={place === active}
          onMouseDown={(event) => {
            event.preventDefault();
            take(place);
          }}
        >
          {shown}
        </div>
      ))}
    </div>
  );
}
