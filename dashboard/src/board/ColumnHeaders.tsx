import type { Signal } from "@preact/signals";
import { words } from "../words";
import type { BoardState } from "./boardAddress";
import { resizeColumn, shownColumns } from "./columnChoice";
import type { ColumnId } from "./columnIds";
import { columnOf } from "./columns";

type Sort = Signal<BoardState["sort"]>;

/** The headings of the columns: a click sorts, and the right edge of a heading changes the width. */
export function ColumnHeaders({ sort }: { sort: Sort }) {
  return (
    <div role="rowgroup" class="column-headers">
      <div role="row" class="row" aria-rowindex={1}>
        <div role="columnheader" class="cell star">
          <span class="visually-hidden">{words.value.board.starred}</span>
        </div>
        {shownColumns.value.map(({ id }) => (
          <Header key={id} id={id} sort={sort} />
        ))}
      </div>
    </div>
  );
}

function Header({ id, sort }: { id: ColumnId; sort: Sort }) {
  const { label, value } = columnOf(id);
  return (
    <div role="columnheader" class={`cell ${id}`} aria-sort={value ? sortOrder(id, sort.value) : undefined}>
      {value ? (
        <button type="button" onClick={() => sortBy(id, sort)}>
          {label(words.value)}
        </button>
      ) : (
        label(words.value)
      )}
      {/* The menu of columns offers the same change of width for the keyboard. */}
      <i class="resize" aria-hidden="true" onPointerDown={(event) => startResize(event, id)} />
    </div>
  );
}

const sortOrder = (id: ColumnId, { by, descending }: BoardState["sort"]) =>
  id !== by ? "none" : descending ? ("descending" as const) : ("ascending" as const);

/** Sort by a column: texts start at A, numbers at the largest. A second click reverses the order. */
function sortBy(id: ColumnId, sort: Sort): void {
  const sameColumn = sort.value.by === id;
  const isText = ["symbol", "name", "sector", "exchange", "currency"].includes(id);
  sort.value = { by: id, descending: sameColumn ? !sort.value.descending : !isText };
}

/** Follow the pointer until it is released. */
function startResize(event: PointerEvent & { currentTarget: HTMLElement }, id: ColumnId): void {
  const handle = event.currentTarget;
  const start = event.clientX;
  const width = handle.parentElement?.offsetWidth ?? 0;
  handle.setPointerCapture(event.pointerId);
  const move = ({ clientX }: PointerEvent): void => resizeColumn(id, width + clientX - start);
  handle.addEventListener("pointermove", move);
  handle.addEventListener("lostpointercapture", () => handle.removeEventListener("pointermove", move), { once: true });
  event.preventDefault();
}
