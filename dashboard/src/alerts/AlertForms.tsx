import { useState } from "preact/hooks";
import { userName } from "../api/rights";
import { SymbolPicker } from "../chart/SymbolPicker";
import { quotes } from "../live/marketData";
import { fetchVerdict } from "../screener/filterCheck";
import { route } from "../shell/route";
import { words } from "../words";
import { serverText } from "../words/serverText";
import { sideFor } from "./alertRules";
import { addAlert, alerts, MAX_ALERTS } from "./alertStore";

/** The forms that add an alert. The address `#/alerts?symbol=AAPL&price=250` fills in the first form. */
export function AlertForms() {
  const { alerts: labels } = words.value;
  const full = alerts.value.length >= MAX_ALERTS;
  // Without a user, the alert would belong to nobody and would not be stored.
  const disabled = full || userName.value === null;
  const { query } = route.value;
  const [symbol, price] = [query.get("symbol") ?? "", query.get("price") ?? ""];
  return (
    <section class="card">
      <h2>{labels.add}</h2>
      {full && <p role="alert">{labels.full(MAX_ALERTS)}</p>}
      <PriceForm key={`${symbol} ${price}`} symbol={symbol} price={price} disabled={disabled} />
      <FilterForm disabled={disabled} />
    </section>
  );
}

function PriceForm({ symbol: initial, price, disabled }: { symbol: string; price: string; disabled: boolean }) {
  const { alerts: labels, chart } = words.value;
  const [symbol, setSymbol] = useState(initial);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        const line = Number(new FormData(event.currentTarget).get("price"));
        if (!symbol || !Number.isFinite(line)) return;
        addAlert({ kind: "price", symbol, price: line, side: sideFor(line, quotes.get(symbol)?.last ?? null) });
      }}
    >
      <div class="field">
        <label for="alert-symbol">{chart.symbol}</label>
        <SymbolPicker
          key={`alert for ${symbol}`}
          id="alert-symbol"
          label={chart.symbol}
          symbol={symbol}
          choose={setSymbol}
        />
      </div>
      <label class="field">
        <span>{labels.price}</span>
        <input
          key={`price of ${symbol}`}
          type="number"
          name="price"
          step="any"
          required
          defaultValue={price || (quotes.get(symbol)?.last ?? "")}
        />
      </label>
      <button type="submit" class="main" disabled={disabled || !symbol}>
        {labels.addPrice}
      </button>
    </form>
  );
}

function FilterForm({ disabled }: { disabled: boolean }) {
  const { alerts: labels, screener } = words.value;
  const [error, setError] = useState("");
  const add = async (form: HTMLFormElement): Promise<void> => {
    const filter = String(new FormData(form).get("filter")).trim();
    const verdict = await fetchVerdict(filter);
    setError(verdict.kind === "wrong" ? serverText(verdict.problem.detail ?? screener.invalidFilter) : "");
    if (verdict.kind !== "valid") return;
    addAlert({ kind: "filter", filter });
    form.reset();
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void add(event.currentTarget);
      }}
    >
      <label class="field wide">
        <span>{screener.filter}</span>
        <input
          type="text"
          name="filter"
          required
          maxLength={4000}
          placeholder={labels.filterExample}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
        />
      </label>
      <button type="submit" class="main" disabled={disabled}>
        {labels.addFilter}
      </button>
      {error && <p role="alert">{error}</p>}
    </form>
  );
}
