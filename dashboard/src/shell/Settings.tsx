import { typingOpens } from "../palette/paletteKeys";
import { type Language, language, languages, words } from "../words";
import { chosenRising, type Rising, rising, risings, type Theme, theme, themes } from "./theme";

/** The language, and a button that opens the panel of all other settings. */
export function Settings() {
  const { shell } = words.value;
  return (
    <>
      <Choice<Language>
        label={shell.language}
        value={language.value}
        options={Object.entries(languages).map(([key, { name }]) => [key as Language, name])}
        choose={(to) => {
          language.value = to;
        }}
        bare
      />
      <button type="button" class="quiet" popovertarget="settings" aria-label={shell.settings}>
        <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
          <path d="M3 6h8m4 0h2M3 14h2m4 0h8M13 3.5v5M7 11.5v5" />
        </svg>
      </button>
      <div id="settings" class="panel" popover="auto">
        <Choice<Theme>
          label={shell.theme}
          value={theme.value}
          options={themes.map((each) => [each, shell.themes[each]])}
          choose={(to) => {
            theme.value = to;
          }}
        />
        <Choice<Rising>
          label={shell.colours}
          value={rising.value}
          options={risings.map((each) => [each, shell.risingColours[each]])}
          choose={(to) => {
            chosenRising.value = to;
          }}
        />
        <label class="choice">
          <span>{shell.typingOpens}</span>
          <input
            type="checkbox"
            checked={typingOpens.value}
            onChange={() => {
              typingOpens.value = !typingOpens.value;
            }}
          />
        </label>
        <a href="docs">{shell.api}</a>
      </div>
    </>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: (readonly [T, string])[];
  choose: (to: T) => void;
  bare?: boolean; // the label is for screen readers only
}

/** A drop-down list with a label. */
export function Choice<T extends string>({ label, value, options, choose, bare = false }: ChoiceProps<T>) {
  return (
    <label class="choice">
      <span class={bare ? "visually-hidden" : ""}>{label}</span>
      <select value={value} onChange={(event) => choose(event.currentTarget.value as T)}>
        {options.map(([key, name]) => (
          <option key={key} value={key}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
