import { isAdmin } from "../api/rights";
import type { Model } from "../api/types";
import { count } from "../format/amounts";
import { NONE, price } from "../format/numbers";
import { elapsed } from "../format/times";
import { Fact } from "../shell/Fact";
import { words } from "../words";
import { FileButton } from "./FileButton";
import { Refused } from "./Refused";
import { model, simulator, useModel } from "./simulator";

const SHOWN = 50; // symbols

/** What the simulated market is made of, in short, and another model. */
export function ModelCard() {
  const { market: say } = words.value;
  const used = simulator.value?.model;
  const known = model.value;
  return (
    <section class="card model">
      <h2>{say.model}</h2>
      <p class="big">{used?.version}</p>
      {known?.about && <p class="muted">{known.about}</p>}
      {known && <Summary model={known} swaps={used?.swaps ?? 0} />}
      <div class="buttons">
        <FileButton name={say.swap} accept=".json,application/json" disabled={!isAdmin.value} take={useModel} />
        <button type="button" disabled={!known} aria-describedby="reason" onClick={() => known && save(known)}>
          {say.save}
        </button>
      </div>
      <Refused of="model" />
      {known && <Symbols model={known} />}
    </section>
  );
}

function Summary({ model, swaps }: { model: Model; swaps: number }) {
  const { market: say } = words.value;
  const { symbols, session, halts } = model;
  const sectors = new Set(symbols.map(({ sector }) => sector).filter(Boolean));
  const jumping = symbols.filter(({ jumps }) => jumps !== null);
  return (
    <dl>
      <Fact name={say.symbols}>{count(symbols.length)}</Fact>
      <Fact name={say.sectors}>{count(sectors.size)}</Fact>
      <Fact name={say.session}>{session ? `${session.open}–${session.close} ${session.timezone}` : say.always}</Fact>
      <Fact name={say.volatility}>{spread(symbols.map(({ volatility }) => volatility))}</Fact>
      <Fact name={say.jumps}>{count(jumping.length)}</Fact>
      <Fact name={say.haltRule}>{halts ? say.haltAfter(rate(halts.move), elapsed(halts.seconds)) : say.none}</Fact>
      <Fact name={say.clusters}>{model.clusters ? say.yes : say.none}</Fact>
      <Fact name={say.swaps}>{count(swaps)}</Fact>
    </dl>
  );
}

function Symbols({ model }: { model: Model }) {
  const { market: say, board } = words.value;
  const shown = model.symbols.slice(0, SHOWN);
  return (
    <details>
      <summary>{say.firstSymbols(shown.length)}</summary>
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">{board.symbol}</th>
            <th scope="col">{say.sector}</th>
            <th scope="col" class="number">
              {board.last}
            </th>
            <th scope="col" class="number">
              {say.volatility}
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ symbol, sector, price: last, volatility }) => (
            <tr key={symbol}>
              <th scope="row">{symbol}</th>
              <td>{sector === null ? NONE : (board.sectors[sector] ?? sector)}</td>
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

/** The least, the middle and the most of some shares. */
function spread(shares: number[]): string {
  const sorted = shares.toSorted((a, b) => a - b);
  const at = (place: number): string => rate(sorted.at(place) ?? 0);
  return words.value.market.between(at(0), at(Math.floor(sorted.length / 2)), at(-1));
}

function save(model: Model): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify(model, null, 1)], { type: "application/json" }));
  Object.assign(document.createElement("a"), { href: url, download: `${model.version}.json` }).click();
  URL.revokeObjectURL(url);
}
