import { hasClosedStreams, reconnectClosedStreams } from "../live/eventStream";
import { words } from "../words";

/** A notice while the server has ended a stream of this tab for good, with a button that opens it again. */
export function ClosedStreamNotice() {
  const { connection } = words.value;
  return (
    <div class="banner" role="status">
      {hasClosedStreams() && (
        <>
          <span>{connection.closedNotice}</span>
          <button type="button" onClick={reconnectClosedStreams}>
            {connection.reconnect}
          </button>
        </>
      )}
    </div>
  );
}
