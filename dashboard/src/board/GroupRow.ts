import { element } from "./cells";
import type { Line } from "./lines";

/** The row at the top of a sector: its name, its number of symbols, and the button that folds it. */
export class GroupRow {
  readonly node = element("div", "row group");
  private readonly cell = element("div", "cell");
  private readonly button = document.createElement("button");
  name = "";

  constructor(id: string, fold: (name: string) => void) {
    this.node.id = id;
    this.node.setAttribute("role", "row");
    this.cell.setAttribute("role", "gridcell");
    this.button.type = "button";
    this.button.tabIndex = -1;
    this.button.onclick = () => fold(this.name);
    this.cell.append(this.button);
    this.node.append(this.cell);
  }

  /** Show a group across this many columns. */
  assign({ name, count, open, title }: Line & { kind: "group" }, columnCount: number): void {
    this.cell.setAttribute("aria-colspan", String(columnCount));
    this.name = name;
    this.button.textContent = `${title} · ${count}`;
    this.button.setAttribute("aria-expanded", String(open));
  }
}
