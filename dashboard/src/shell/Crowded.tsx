import { crowded } from "../live/tabs";
import { words } from "../words";

/** Why nothing is answered, while tabs hold all connections. It is there without words too, or they would not be read out. */
export function Crowded() {
  return (
    <p class="crowded" role="status">
      {crowded.value && words.value.shell.crowded}
    </p>
  );
}
