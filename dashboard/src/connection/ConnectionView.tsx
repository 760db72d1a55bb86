import { log } from "../live/log";
import { reconnects } from "../live/market";
import { words } from "../words";

export default function ConnectionView() {
  return (
    <section>
      <h1>{words.value.views.connection}</h1>
      <output>{reconnects.value}</output>
      <ol>
        {log.value.map((entry) => (
          <li key={entry.at}>
            {entry.what} {entry.detail}
          </li>
        ))}
      </ol>
    </section>
  );
}
