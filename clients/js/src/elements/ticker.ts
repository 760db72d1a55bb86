import type { ClientOptions, TickwireClient } from "../client.ts";
import type { Quote } from "../events.ts";
import { LiveElement } from "./liveElement.ts";

const STYLES = `
  :host { display: inline-flex; flex-wrap: wrap; gap: 0.25em 1.5em; font: inherit; font-variant-numeric: tabular-nums; }
  span { display: inline-flex; gap: 0.5em; }
  .up { color: var(--tickwire-up, #14804a); }
  .down { color: var(--tickwire-down, #c0262d); }
`;

/** `<tickwire-ticker symbols="AAPL,MSFT" server="https://...">`: the newest price and the change of each symbol. */
export class TickerElement extends LiveElement {
  static readonly observedAttributes = ["symbols", "server", "token"];
  private readonly rows = new Map<string, HTMLElement>();

  constructor() {
    super(STYLES);
  }

  protected reset(): ClientOptions | null {
    this.rows.clear();
    this.root.replaceChildren();
    const symbols = (this.getAttribute("symbols") ?? "").split(",").map((each) => each.trim());
    for (const symbol of symbols) if (symbol !== "") this.addRow(symbol);
    if (this.rows.size === 0) return null;
    return { symbols: [...this.rows.keys()], fields: ["last", "change", "change_rate"] };
  }

  protected listen(client: TickwireClient): void {
    client.onFrame((quotes) => {
      for (const quote of quotes.values()) this.show(quote);
    });
  }

  private addRow(symbol: string): void {
    const row = document.createElement("span");
    row.part.add("row");
    row.append(cell("symbol", symbol), cell("price", "–"), cell("change", ""));
    this.rows.set(symbol, row);
    this.root.append(row);
  }

  private show({ symbol, last, change, change_rate }: Quote): void {
    const [, price, percentage] = (this.rows.get(symbol)?.children ?? []) as unknown as HTMLElement[];
    if (!price || !percentage) return;
    price.textContent = last === null ? "–" : String(last);
    percentage.textContent = change_rate === null ? "" : `${change_rate > 0 ? "+" : ""}${change_rate.toFixed(2)}%`;
    percentage.className = Math.sign(change ?? 0) > 0 ? "up" : Math.sign(change ?? 0) < 0 ? "down" : "";
  }
}

function cell(part: string, text: string): HTMLElement {
  const element = document.createElement(part === "symbol" ? "b" : "span");
  element.part.add(part);
  element.textContent = text;
  return element;
}
