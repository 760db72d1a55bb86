import { useState } from "preact/hooks";
import { href } from "../shell/route";
import { words } from "../words";
import { removeScreen, renameScreen, type SavedScreen, savedScreens, saveScreen } from "./screenStore";

/** The saved screens, and the form that saves the current one. */
export function SavedScreens({ filter }: { filter: string }) {
  const { screener: labels } = words.value;
  // The open form: "new" saves the current screen, "=name" renames a saved screen; null while the form is closed.
  const [naming, setNaming] = useState<"new" | string | null>(null);
  return (
    <section class="card saved">
      <header>
        <h2>{labels.saved}</h2>
        {filter && naming !== "new" && (
          <button type="button" class="quiet" onClick={() => setNaming("new")}>
            {labels.save}
          </button>
        )}
      </header>
      {naming === "new" && (
        <NameForm
          name=""
          done={(name) => {
            if (name) saveScreen(name, filter);
            setNaming(null);
          }}
        />
      )}
      {savedScreens.value.length === 0 && naming === null && <p class="muted">{labels.noneSaved}</p>}
      <ul>
        {savedScreens.value.map((each) => (
          <li key={each.name} aria-current={each.filter === filter ? "true" : undefined}>
            {naming === `=${each.name}` ? (
              <NameForm
                name={each.name}
                done={(name) => {
                  if (name) renameScreen(each.name, name);
                  setNaming(null);
                }}
              />
            ) : (
              <SavedScreenRow screen={each} rename={() => setNaming(`=${each.name}`)} />
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function SavedScreenRow({ screen, rename: begin }: { screen: SavedScreen; rename: () => void }) {
  const { screener: labels } = words.value;
  return (
    <>
      <a href={href("screener", [], { filter: screen.filter })} title={screen.filter}>
        <span>{screen.name}</span>
        <code>{screen.filter}</code>
      </a>
      <button
        type="button"
        class="quiet"
        aria-label={labels.rename(screen.name)}
        title={labels.rename(screen.name)}
        onClick={begin}
      >
        ✎
      </button>
      <button
        type="button"
        class="quiet"
        aria-label={labels.remove(screen.name)}
        title={labels.remove(screen.name)}
        onClick={() => removeScreen(screen.name)}
      >
        ✕
      </button>
    </>
  );
}

/** A form for a name. `onDone` receives null if the user cancels. */
function NameForm({ name, done: onDone }: { name: string; done: (name: string | null) => void }) {
  const { screener: labels, board } = words.value;
  return (
    <form
      class="naming"
      onSubmit={(event) => {
        event.preventDefault();
        onDone(String(new FormData(event.currentTarget).get("name")).trim() || null);
      }}
      onKeyDown={(event) => event.key === "Escape" && onDone(null)}
    >
      <input
        ref={(field) => field?.select()}
        name="name"
        defaultValue={name}
        maxLength={60}
        required
        placeholder={labels.name}
        aria-label={labels.name}
      />
      <button type="submit" class="main">
        {board.save}
      </button>
      <button type="button" class="quiet" onClick={() => onDone(null)}>
        {board.cancel}
      </button>
    </form>
  );
}
