import { Host } from "./host.ts";
import type { ToHost } from "./messages.ts";

const host = new Host();

addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0] as MessagePort;
  const page = host.connect((messages) => port.postMessage(messages));
  port.onmessage = ({ data }: MessageEvent<ToHost>) => page.receive(data);
});
