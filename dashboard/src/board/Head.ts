import { element } from "./cells";
import type { Line } from "./order";

/** The head of a group among the rows: a sector, how many it has, and whether they are shown. */
export class Head {
  readonly node = element("div", "row group");
  private readonly button = document.createElement("button");
  name = "";

  constructor(id: string, fold: (name: string) => void) {
    this.node.id = id;
    this.node.setAttribute("role", "row");
    const cell = element("div", "cell");
    cell.setAttribute("role", "gridcell");
    cell.setAttribute("aria-colspan", "12");
    this.button.type = "button";
    this.button.tabIndex = -1;
    this.button.onclick = () => fold(this.name);
    cell.append(this.button);
    this.node.append(cell);
  }

  assign({ name, count, open, title }: Line & { kind: "group" }): void {
    this.name = name;
    this.button.textContent = `${title} · ${count}`;
    this.button.setAttribute("aria-expanded", String(open));
  }
}
