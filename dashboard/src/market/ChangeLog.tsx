import type { Status } from "../api/types";
import { shortTime } from "../format/times";
import { words } from "../words";
import { type FeedChange, feedChanges } from "./feedChanges";

/** The changes of the market since the page opened, by any user. */
export function ChangeLog() {
  const { market: labels } = words.value;
  return (
    <section class="card change-log">
      <h2>{labels.log}</h2>
      {feedChanges.value.length === 0 && <p class="muted">{labels.noChanges}</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
      <ol tabIndex={0} aria-label={labels.log}>
        {feedChanges.value.map((change) => (
          <li key={change.id}>
            <time>{shortTime(change.at)}</time> <span>{changeText(change)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** The values that the first status need not mention. */
const INITIAL: Partial<Status> = { halted: [] };

/** Describe a step or a seek, which the state does not show. The first status may repeat a command from long ago. */
function commandText(command: string | null, before: Status | null): string {
  const { changes } = words.value.market;
  const [verb, rest = "1"] = command?.split("=") ?? [];
  if (before === null) return "";
  return verb === "STEP" ? changes.step(rest) : verb === "SEEK" ? changes.seek(rest) : "";
}

/** Describe a change: the state, and every other value that differs from before. */
export function changeText({ now, before }: FeedChange): string {
  const { feed, market } = words.value;
  const { changes } = market;
  const differs = (name: keyof Status): boolean =>
    String(now[name]) !== String(before?.[name] ?? INITIAL[name] ?? null);
  const parts = [
    feed[now.state],
    commandText(now.command, before),
    differs("speed") && changes.speed(now.speed === 0 ? market.maxSpeed : `${now.speed}×`),
    differs("scenario") && (now.scenario === null ? changes.noScenario : changes.scenario(now.scenario)),
    differs("model") && now.model !== null && changes.model(now.model),
    differs("halted") && changes.halted(now.halted.join(", ") || market.none),
    differs("notice") && now.notice,
  ];
  return parts.filter(Boolean).join(" · ");
}
