/** Split the id of an event, such as "m3x9f-5121", into its epoch and its sequence number. */
function split(id: string): [epoch: string, sequence: number] {
  const dash = id.lastIndexOf("-");
  return [id.slice(0, dash), Number(id.slice(dash + 1))];
}

/** Return whether two ids belong to one epoch, so that they can be compared. */
export const sameEpoch = (first: string, second: string): boolean => split(first)[0] === split(second)[0];

/**
 * Return whether an event with the id `id` comes before `position`, or is the event at `position`.
 *
 * Ids of different epochs cannot be compared, and the result is then false.
 */
export function isAtOrBefore(id: string, position: string): boolean {
  if (id === "" || position === "") return false;
  const [epoch, sequence] = split(id);
  const [positionEpoch, positionSequence] = split(position);
  return epoch === positionEpoch && sequence <= positionSequence;
}
