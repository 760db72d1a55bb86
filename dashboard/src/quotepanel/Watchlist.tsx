import { useEffect, useState } from "preact/hooks";
import { watchlists } from "../board/watchlists";
import { instruments, quotes, symbolCount } from "../live/marketData";
import { byActivity } from "../live/tradedValue";
import { QuoteList } from "../quotelist/QuoteList";
import { isText, pref } from "../shell/prefs";
import { words } from "../words";

const MAX_ACTIVE = 30;
/** The order of the most active symbols is computed again after this time. */
const REORDER_MS = 5_000;

/** The name of the list in the panel; null shows the most active symbols. */
const listName = pref<string | null>("panel.list", null, (value) => value === null || isText(value));

/** A list of symbols beside the chart: one of the user's lists, or the most active symbols. */
export function Watchlist({ current, address }: { current: string; address: (symbol: string) => string }) {
  const { panel, board, overview } = words.value;
  const list = watchlists.value.find(({ name }) => name === listName.value);
  const active = useMostActive();
  return (
    <section class="watchlist">
      <select
        aria-label={board.lists}
        value={list ? `list ${list.name}` : ""}
        onChange={({ currentTarget: { value } }) => {
          listName.value = value ? value.slice("list ".length) : null;
        }}
      >
        <option value="">{overview.active}</option>
        {watchlists.value.map(({ name, symbols }) => (
          <option key={name} value={`list ${name}`}>
            {name || board.watchlist} ({symbols.length})
          </option>
        ))}
      </select>
      {list?.symbols.length === 0 && <p class="muted">{panel.emptyList}</p>}
      <QuoteList label={panel.partOf.watchlist} symbols={list?.symbols ?? active} address={address} current={current} />
    </section>
  );
}

/** Return the most active symbols. */
function useMostActive(): string[] {
  const [, reorder] = useState(0);
  void symbolCount.value;
  useEffect(() => {
    const timer = window.setInterval(() => reorder((count) => count + 1), REORDER_MS);
    return () => window.clearInterval(timer);
  }, []);
  return byActivity(quotes.values(), instruments.value)
    .slice(0, MAX_ACTIVE)
    .map(({ symbol }) => symbol);
}
