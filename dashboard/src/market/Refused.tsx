import { type Place, refused } from "./simulator";

/** What was wrong with what was asked here last. */
export function Refused({ of }: { of: Place }) {
  return refused.value?.of === of ? <p role="alert">{refused.value.why}</p> : null;
}
