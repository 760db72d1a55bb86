import { useState } from "preact/hooks";
import { words } from "../words";
import {
  type ChosenColumn,
  chosenColumns,
  compactRows,
  moveColumn,
  resizeColumn,
  shownColumns,
  toggleColumn,
  WIDTH_LIMITS,
} from "./columnChoice";
import { columnOf, columns } from "./columns";

/** The panel that chooses the columns, their order and their width, and the height of the rows. */
export function ColumnMenu() {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" popovertarget="columns">
        {words.value.board.columns}
      </button>
      <div id="columns" class="panel columns" popover="auto" onToggle={({ newState }) => setOpen(newState === "open")}>
        {open && <Choices />}
      </div>
    </>
  );
}

function Choices() {
  const { board } = words.value;
  const shown = shownColumns.value;
  const hidden = columns.filter(({ id }) => !shown.some((each) => each.id === id));
  return (
    <>
      <label class="check">
        <input
          type="checkbox"
          checked={compactRows.value}
          onChange={() => {
            compactRows.value = !compactRows.value;
          }}
        />
        {board.compact}
      </label>
      <ol aria-label={board.columns}>
        {shown.map((column) => (
          <ShownColumn key={column.id} column={column} />
        ))}
        {hidden.map(({ id, label }) => (
          <li key={id}>
            <label class="check">
              <input type="checkbox" checked={false} onChange={() => toggleColumn(id)} />
              {label(words.value)}
            </label>
          </li>
        ))}
      </ol>
      <button
        type="button"
        disabled={chosenColumns.value === null}
        onClick={() => {
          chosenColumns.value = null;
        }}
      >
        {board.resetColumns}
      </button>
    </>
  );
}

function ShownColumn({ column: { id, width } }: { column: ChosenColumn }) {
  const { board } = words.value;
  const label = columnOf(id).label(words.value);
  return (
    <li>
      <label class="check">
        <input type="checkbox" checked disabled={id === "symbol"} onChange={() => toggleColumn(id)} />
        {label}
      </label>
      <input
        type="number"
        aria-label={board.widthOf(label)}
        placeholder={board.automatic}
        {...WIDTH_LIMITS}
        step={4}
        value={width ?? ""}
        onChange={({ currentTarget: { value } }) => resizeColumn(id, value === "" ? null : Number(value))}
      />
      <button type="button" class="quiet" aria-label={board.moveUp(label)} onClick={() => moveColumn(id, -1)}>
        ↑
      </button>
      <button type="button" class="quiet" aria-label={board.moveDown(label)} onClick={() => moveColumn(id, 1)}>
        ↓
      </button>
    </li>
  );
}
