import { useState } from "preact/hooks";
import { words } from "../words";
import {
  addWatchlist,
  removedList,
  removeSelected,
  restoreRemoved,
  selectedList,
  selectList,
  watchlists,
} from "./watchlists";

/**
 * The tabs that select all symbols or one watchlist, and the buttons that add a watchlist and remove the selected one.
 */
export function WatchlistTabs() {
  const { board } = words.value;
  const [naming, setNaming] = useState(false);
  if (naming) return <NewList done={() => setNaming(false)} />;
  return (
    <fieldset class="lists">
      <legend class="visually-hidden">{board.lists}</legend>
      <Tab list={null} label={board.all} />
      {watchlists.value.map(({ name, symbols }) => (
        <Tab key={name} list={name} label={name || board.watchlist} count={symbols.length} />
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
      {selectedList.value?.name && (
        <button
          type="button"
          class="quiet"
          aria-label={board.removeList}
          title={board.removeList}
          onClick={removeSelected}
        >
          ✕
        </button>
      )}
      {removedList.value && (
        <button type="button" class="quiet" onClick={restoreRemoved}>
          {board.restoreList(removedList.value.name)}
        </button>
      )}
    </fieldset>
  );
}

function Tab({ list, label, count }: { list: string | null; label: string; count?: number }) {
  return (
    <button type="button" aria-pressed={(selectedList.value?.name ?? null) === list} onClick={() => selectList(list)}>
      {label} {count !== undefined && <small>{count}</small>}
    </button>
  );
}

function NewList({ done: onDone }: { done: () => void }) {
  const { board } = words.value;
  const save = (name: string): void => {
    if (name.trim()) addWatchlist(name.trim());
    onDone();
  };
  return (
    <form
      class="lists"
      onSubmit={(event) => {
        event.preventDefault();
        save(String(new FormData(event.currentTarget).get("name")));
      }}
      onKeyDown={(event) => event.key === "Escape" && onDone()}
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
      <button type="button" class="quiet" onClick={onDone}>
        {board.cancel}
      </button>
    </form>
  );
}
