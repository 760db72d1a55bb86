import type { Operations } from "../api/types";
import { NONE } from "../format/numbers";
import { duration } from "../format/times";
import { words } from "../words";

/** Where prices come from, and how old the newest is. */
export function Feeds({ feeds }: { feeds: Operations["feeds"] }) {
  const { operations: say, feed: states, modes } = words.value;
  return (
    <table class="plain card">
      <caption>{say.feeds}</caption>
      <thead>
        <tr>
          <th scope="col">{say.feed}</th>
          <th scope="col">{say.mode}</th>
          <th scope="col">{say.state}</th>
          <th scope="col" class="number">
            {say.age}
          </th>
        </tr>
      </thead>
      <tbody>
        {feeds.map((feed) => (
          <tr key={feed.feed} data-state={feed.state}>
            <th scope="row">{feed.feed}</th>
            <td>{modes[feed.mode]}</td>
            <td class="state">{states[feed.state]}</td>
            <td class="number">{feed.last_tick_age === null ? NONE : duration(feed.last_tick_age * 1000)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
