import { useState } from "preact/hooks";
import { href } from "../shell/route";
import { words } from "../words";
import { remove, rename, type Saved, save, saved } from "./saved";

/** The saved screens, and a place to save the one that is shown. */
export function SavedScreens({ filter }: { filter: string }) {
  const { screener: say } = words.value;
  const [naming, setNaming] = useState<"new" | string | null>(null); // which one is being named
  return (
    <section class="card saved">
      <header>
        <h2>{say.saved}</h2>
        {filter && naming !== "new" && (
          <button type="button" class="quiet" onClick={() => setNaming("new")}>
            {say.save}
          </button>
        )}
      </header>
      {naming === "new" && (
        <Naming
          name=""
          done={(name) => {
            if (name) save(name, filter);
            setNaming(null);
          }}
        />
      )}
      {saved.value.length === 0 && naming === null && <p class="muted">{say.noneSaved}</p>}
      <ul>
        {saved.value.map((each) => (
          <li key={each.name} aria-current={each.filter === filter ? "true" : undefined}>
            {naming === `=${each.name}` ? (
              <Naming
                name={each.name}
                done={(name) => {
                  if (name) rename(each.name, name);
                  setNaming(null);
                }}
              />
            ) : (
              <Kept screen={each} rename={() => setNaming(`=${each.name}`)} />
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Kept({ screen, rename: begin }: { screen: Saved; rename: () => void }) {
  const { screener: say } = words.value;
  return (
    <>
      <a href={href("screener", [], { filter: screen.filter })} title={screen.filter}>
        <span>{screen.name}</span>
        <code>{screen.filter}</code>
      </a>
      <button
        type="button"
        class="quiet"
        aria-label={say.rename(screen.name)}
        title={say.rename(screen.name)}
        onClick={begin}
      >
        ✎
      </button>
      <button
        type="button"
        class="quiet"
        aria-label={say.remove(screen.name)}
        title={say.remove(screen.name)}
        onClick={() => remove(screen.name)}
      >
        ✕
      </button>
    </>
  );
}

/** Asks for a name; `done` with null where there is to be none. */
function Naming({ name, done }: { name: string; done: (name: string | null) => void }) {
  const { screener: say, board } = words.value;
  return (
    <form
      class="naming"
      onSubmit={(event) => {
        event.preventDefault();
        done(String(new FormData(event.currentTarget).get("name")).trim() || null);
      }}
      onKeyDown={(event) => event.key === "Escape" && done(null)}
    >
      <input
        ref={(field) => field?.select()}
        name="name"
        defaultValue={name}
        maxLength={60}
        required
        placeholder={say.name}
        aria-label={say.name}
      />
      <button type="submit" class="main">
        {board.save}
      </button>
      <button type="button" class="quiet" onClick={() => done(null)}>
        {board.cancel}
      </button>
    </form>
  );
}
