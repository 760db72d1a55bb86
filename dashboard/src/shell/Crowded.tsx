import { crowded } from "../live/tabs";
import { words } from "../words";

/** Why nothing is answered, while other tabs have all of the browser's connections. It is there before it has words, or they would not be read out. */
export function Crowded() {
  return (
    <p class="crowded" role="status">
      {crowded.value && words.value.shell.crowded}
    </p>
  );
}
