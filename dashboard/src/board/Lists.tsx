import { useState } from "preact/hooks";
import { words } from "../words";
import { add, lists, remove, shown } from "./lists";

/** Which symbols: all, or a saved list; a new one, or one less. */
export function Lists() {
  const { board } = words.value;
  const [naming, setNaming] = useState(false);
  if (naming) return <NewList done={() => setNaming(false)} />;
  return (
    <fieldset class="lists">
      <legend class="unseen">{board.lists}</legend>
      <Tab at={null} name={board.all} />
      {lists.value.map((list, at) => (
        <Tab key={at} at={at} name={list.name || board.watchlist} count={list.symbols.length} />
      ))}
      <button
        type="button"
        class="quiet"
        aria-label={board.newList}
        title={board.newList}
        onClick={() => setNaming(true)}
      >
        +
      </button>
      {!!shown.value && (
        <button type="button" class="quiet" aria-label={board.removeList} title={board.removeList} onClick={remove}>
          ✕
        </button>
      )}
    </fieldset>
  );
}

function Tab({ at, name, count }: { at: number | null; name: string; count?: number }) {
  return (
    <button
      type="button"
      aria-pressed={shown.value === at}
      onClick={() => {
        shown.value = at;
      }}
    >
      {name} {count !== undefined && <small>{count}</small>}
    </button>
  );
}

function NewList({ done }: { done: () => void }) {
  const { board } = words.value;
  const save = (name: string): void => {
    if (name.trim()) add(name.trim());
    done();
  };
  return (
    <form
      class="lists"
      onSubmit={(event) => {
        event.preventDefault();
        save(String(new FormData(event.currentTarget).get("name")));
      }}
      onKeyDown={(event) => event.key === "Escape" && done()}
    >
      <input
        ref={(field) => field?.focus()}
        name="name"
        maxLength={40}
        placeholder={board.listName}
        aria-label={board.listName}
        required
      />
      <button type="submit" class="main">
        {board.save}
      </button>
      <button type="button" class="quiet" onClick={done}>
        {board.cancel}
      </button>
    </form>
  );
}
