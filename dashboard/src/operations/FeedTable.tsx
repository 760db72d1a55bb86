import type { Operations } from "../api/types";
import { NONE } from "../format/numbers";
import { duration } from "../format/times";
import { words } from "../words";

/** The feeds, their states, and the age of their newest ticks. */
export function FeedTable({ feeds }: { feeds: Operations["feeds"] }) {
  const { operations: labels, feed: states, modes } = words.value;
  return (
    <table class="plain card">
      <caption>{labels.feeds}</caption>
      <thead>
        <tr>
          <th scope="col">{labels.feed}</th>
          <th scope="col">{labels.mode}</th>
          <th scope="col">{labels.state}</th>
          <th scope="col" class="number">
            {labels.age}
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
