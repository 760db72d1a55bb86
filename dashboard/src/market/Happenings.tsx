import type { Status } from "../api/types";
import { timeOfDay } from "../format/times";
import { words } from "../words";
import { type Happening, happenings } from "./happenings";

/** What was done to the market since the page was opened, by whomever. */
export function Happenings() {
  const { market: say } = words.value;
  return (
    <section class="card happenings">
      <h2>{say.happened}</h2>
      {happenings.value.length === 0 && <p class="muted">{say.nothing}</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
      <ol tabIndex={0} aria-label={say.happened}>
        {happenings.value.map((happening) => (
          <li key={happening.id}>
            <time>{timeOfDay(happening.at)}</time> <span>{told(happening)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** What is not worth telling at the first status: no symbol is halted. */
const NEW: Partial<Status> = { halted: [] };

/** What the state does not show: a step, or another place in a recording. A newcomer's first status may be old. */
function named(command: string | null, before: Status | null): string {
  const { said } = words.value.market;
  const [verb, rest = "1"] = command?.split("=") ?? [];
  if (before === null) return "";
  return verb === "STEP" ? said.step(rest) : verb === "SEEK" ? said.seek(rest) : "";
}

/** The state, and what else is not as it was before. */
function told({ now, before }: Happening): string {
  const { feed, market } = words.value;
  const { said } = market;
  const differs = (name: keyof Status): boolean => String(now[name]) !== String(before?.[name] ?? NEW[name] ?? null);
  const parts = [
    feed[now.state],
    named(now.command, before),
    differs("speed") && said.speed(now.speed === 0 ? market.unpaced : `${now.speed}×`),
    differs("scenario") && (now.scenario === null ? said.noScenario : said.scenario(now.scenario)),
    differs("model") && now.model !== null && said.model(now.model),
    differs("halted") && said.halted(now.halted.join(", ") || market.none),
    differs("notice") && now.notice,
  ];
  return parts.filter(Boolean).join(" · ");
}
