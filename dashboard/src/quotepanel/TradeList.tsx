import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { decimalsFor } from "../board/decimals";
import { price, quantity } from "../format/numbers";
import { shortTime } from "../format/times";
import { type ConnectionState, EventStream } from "../live/eventStream";
import { instruments, quotes } from "../live/marketData";
import { words } from "../words";
import { type TapeQuote, TradeTape } from "./tradeTape";

/** The stream starts with the trades of the last two minutes. */
const HISTORY_MS = 120_000;
/** The list changes at most once in this time, because faster changes are hard to read. */
const REFRESH_MS = 250;
const MAX_ROWS = 100;

/** The trades of a symbol, newest first. Its stream delivers every event, and reports missing events. */
class TradeStream {
  readonly tape = new TradeTape();
  readonly revision = signal(0);
  readonly connection = signal<ConnectionState>("connecting");
  readonly detail = signal("");
  private changed = false;
  private readonly stream: EventStream;
  private readonly timer = window.setInterval(() => this.refresh(), REFRESH_MS);

  constructor(symbol: string) {
    const since = String((Date.now() - HISTORY_MS) * 1000);
    const fields = ["last", "bid", "ask", "volume", "open", "prev_close", "ts"] as const;
    this.stream = new EventStream(
      { symbols: [symbol], events: ["quote"], delivery: "all", fields, since },
      {
        quote: (quote: TapeQuote) => {
          this.tape.add(quote);
          this.changed = true;
        },
        events: {
          gap: () => {
            this.tape.addGap();
            this.changed = true;
          },
        },
        state: (state, detail) => {
          this.connection.value = state;
          this.detail.value = detail;
        },
      },
    );
  }

  close(): void {
    window.clearInterval(this.timer);
    this.stream.close();
  }

  private refresh(): void {
    if (!this.changed) return;
    this.changed = false;
    this.revision.value += 1;
  }
}

/** Time and sales: every trade of a symbol since two minutes before the list opened. */
export function TradeList({ symbol }: { symbol: string }) {
  const [stream, setStream] = useState<TradeStream | null>(null);
  useEffect(() => {
    const opened = new TradeStream(symbol);
    setStream(opened);
    return () => opened.close();
  }, [symbol]);
  const { panel, board } = words.value;
  if (!stream) return null;
  void stream.revision.value;
  const entries = stream.tape.entries.slice(0, MAX_ROWS);
  const about = instruments.value.get(symbol);
  const quote = quotes.get(symbol);
  const decimals = quote ? decimalsFor(quote) : 2;
  return (
    <section class="trades" data-stale={stream.connection.value === "open" ? undefined : "connection"}>
      {stream.detail.value && <p class="muted">{stream.detail.value}</p>}
      {entries.length === 0 && <p class="muted">{panel.noTrades}</p>}
      <table aria-label={panel.partOf.trades}>
        <thead>
          <tr>
            <th scope="col">{board.time}</th>
            <th scope="col">{panel.price}</th>
            <th scope="col">{panel.size}</th>
          </tr>
        </thead>
        <tbody class="prices">
          {entries.map((entry) =>
            "missing" in entry ? (
              <tr key={entry.id}>
                <td colSpan={3}>{panel.missing}</td>
              </tr>
            ) : (
              <tr key={entry.id} class={entry.side === "buy" ? "up" : entry.side === "sell" ? "down" : ""}>
                <td>{shortTime(entry.ts / 1000)}</td>
                <td>
                  {price(entry.price, decimals)}
                  {entry.side && <span class="visually-hidden"> {panel.sides[entry.side]}</span>}
                </td>
                <td>{quantity(entry.size, about)}</td>
              </tr>
            ),
          )}
        </tbody>
      </table>
    </section>
  );
}
