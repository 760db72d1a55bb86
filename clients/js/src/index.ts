export type { BackoffOptions } from "./backoff.ts";
export {
  type ClientOptions,
  type ClientState,
  type ClientStatus,
  type StateHandler,
  TickwireClient,
} from "./client.ts";
export type { TokenSource } from "./credentials.ts";
export type {
  Bye,
  Candle,
  Correction,
  EventMap,
  Expiring,
  Gap,
  Heartbeat,
  Matches,
  Move,
  Quote,
  Status,
  Subscription,
  Welcome,
} from "./events.ts";
export type { FrameHandler } from "./frameQueue.ts";
export type { EventData, Handler, StreamEvent } from "./router.ts";
export type { Sharing } from "./sharing/hostLink.ts";
export type { StreamError } from "./transports/transport.ts";
export type { WatchdogTimeout } from "./watchdog.ts";
