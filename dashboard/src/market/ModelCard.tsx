import { isAdmin } from "../api/rights";
import type { MarketModel } from "../api/types";
import { NONE, price, wholeNumber } from "../format/numbers";
import { elapsed } from "../format/times";
import { Fact } from "../shell/Fact";
import { sectorTitle, words } from "../words";
import { serverText } from "../words/serverText";
import { FileButton } from "./FileButton";
import { RequestError } from "./RequestError";
import { model, replaceModel, simulator } from "./simulator";

const MAX_SYMBOLS = 50;

/** A summary of the simulation model, and the buttons that save and replace it. */
export function ModelCard() {
  const { market: labels } = words.value;
  const used = simulator.value?.model;
  const loaded = model.value;
  return (
    <section class="card model">
      <h2>{labels.model}</h2>
      <p class="big">{used?.version}</p>
      {loaded?.about && <p class="muted">{serverText(loaded.about)}</p>}
      {loaded && <Summary model={loaded} swaps={used?.swaps ?? 0} />}
      <div class="buttons">
        <FileButton
          name={labels.swap}
          accept=".json,application/json"
          disabled={!isAdmin.value}
          onText={replaceModel}
        />
        <button type="button" disabled={!loaded} aria-describedby="reason" onClick={() => loaded && save(loaded)}>
          {labels.save}
        </button>
      </div>
      <RequestError card="model" />
      {loaded && <Symbols model={loaded} />}
    </section>
  );
}

function Summary({ model, swaps }: { model: MarketModel; swaps: number }) {
  const { market: labels } = words.value;
  const { symbols, session, halts } = model;
  const sectors = new Set(symbols.map(({ sector }) => sector).filter(Boolean));
  const jumping = symbols.filter(({ jumps }) => jumps !== null);
  return (
    <dl>
      <Fact name={labels.symbols}>{wholeNumber(symbols.length)}</Fact>
      <Fact name={labels.sectors}>{wholeNumber(sectors.size)}</Fact>
      <Fact name={labels.session}>
        {session ? `${session.open}–${session.close} ${session.timezone}` : labels.always}
      </Fact>
      <Fact name={labels.volatility}>{rangeText(symbols.map(({ volatility }) => volatility))}</Fact>
      <Fact name={labels.jumps}>{wholeNumber(jumping.length)}</Fact>
      <Fact name={labels.haltRule}>
        {halts ? labels.haltAfter(rate(halts.move), elapsed(halts.seconds)) : labels.none}
      </Fact>
      <Fact name={labels.clusters}>{model.clusters ? labels.yes : labels.none}</Fact>
      <Fact name={labels.swaps}>{wholeNumber(swaps)}</Fact>
    </dl>
  );
}

function Symbols({ model }: { model: MarketModel }) {
  const { market: labels, board } = words.value;
  const shown = model.symbols.slice(0, MAX_SYMBOLS);
  return (
    <details>
      <summary>{labels.firstSymbols(shown.length)}</summary>
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">{board.symbol}</th>
            <th scope="col">{labels.sector}</th>
            <th scope="col" class="number">
              {board.last}
            </th>
            <th scope="col" class="number">
              {labels.volatility}
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ symbol, sector, price: last, volatility }) => (
            <tr key={symbol}>
              <th scope="row">{symbol}</th>
              <td>{sector === null ? NONE : sectorTitle(sector)}</td>
              <td class="number">{price(last, 2)}</td>
              <td class="number">{rate(volatility)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

const rate = (share: number): string => `${price(share * 100, share < 0.1 ? 1 : 0)}%`;

/** Describe the minimum, the maximum and the median of some shares. */
function rangeText(shares: number[]): string {
  const sorted = shares.toSorted((a, b) => a - b);
  const at = (index: number): string => rate(sorted.at(index) ?? 0);
  return words.value.market.between(at(0), at(Math.floor(sorted.length / 2)), at(-1));
}

function save(model: MarketModel): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify(model, null, 1)], { type: "application/json" }));
  Object.assign(document.createElement("a"), { href: url, download: `${model.version}.json` }).click();
  URL.revokeObjectURL(url);
}
