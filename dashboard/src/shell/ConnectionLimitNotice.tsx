import { connectionsExhausted } from "../live/connectionLimit";
import { words } from "../words";

/**
 * A notice while the tabs of this page occupy all connections of the browser.
 *
 * The element is always present: screen readers announce only changes of an existing status element.
 */
export function ConnectionLimitNotice() {
  return (
    <p class="banner connection-limit" role="status">
      {connectionsExhausted.value && words.value.shell.connectionLimit}
    </p>
  );
}
