import { useEffect, useState } from "preact/hooks";
import { frames, quotes } from "../live/market";
import { words } from "../words";

export default function BoardView() {
  const [, again] = useState(0);
  useEffect(() => frames.each(() => again((count) => count + 1)), []);
  return (
    <section>
      <h1 class="unseen">{words.value.views.board}</h1>
      <table id="rows">
        <tbody>
          {[...quotes.values()].map((quote) => (
            <tr key={quote.symbol}>
              <td>{quote.symbol}</td>
              <td>{quote.last}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
