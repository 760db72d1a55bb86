import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** A request for a stream, and what the test does with it. */
export interface FakeStream {
  url: URL;
  headers: IncomingMessage["headers"];
  response: ServerResponse;
  /** Send events in the format of the wire, beginning with the head of the answer. */
  send: (text: string) => void;
}

export interface FakeServer {
  url: string;
  streams: FakeStream[];
  /** The bodies of all PATCH requests. */
  patches: string[];
  /** The answer to PATCH requests, if they are refused. */
  refusal: { status: number; detail: string } | null;
  /** The symbols that the server refuses in PATCH requests. */
  invalid: string[];
}

export const WELCOME = welcome({});

export function welcome(changes: object, symbols: string[] = ["A"], interval = 0): string {
  const subscription = { symbols, events: ["quote"], interval };
  const data = { client_id: "c", head: "e-1", mode: "live", heartbeat: 15, delay: 0, subscription, resume: null };
  return `retry: 1\nevent: welcome\ndata: ${JSON.stringify({ ...data, ...changes })}\n\n`;
}

export const quote = (symbol: string, last: number, id: string): string =>
  `${id && `id: ${id}\n`}data: {"symbol":"${symbol}","last":${last},"ts":1}\n\n`;

/** Start a server that passes each request for a stream to `onStream`. The server ends with the test. */
export async function startServer(
  context: TestContext,
  onStream: (stream: FakeStream, number: number) => void = ({ send }) => send(WELCOME),
): Promise<FakeServer> {
  const fake: FakeServer = { url: "", streams: [], patches: [], refusal: null, invalid: [] };
  const { streams, patches } = fake;
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "", "http://fake");
    if (request.method === "PATCH") {
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        patches.push(body);
        const isInvalid = JSON.parse(body).symbols.some((each: string) => fake.invalid.includes(each));
        const refusal = isInvalid ? { status: 400, detail: "invalid symbol" } : fake.refusal;
        response.writeHead(refusal?.status ?? 200).end(JSON.stringify(refusal ?? {}));
      });
      return;
    }
    const send = (text: string): void => {
      if (!response.headersSent) response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(text);
    };
    const stream = { url, headers: request.headers, response, send };
    streams.push(stream);
    onStream(stream, streams.length);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  fake.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return fake;
}

const WAIT_MS = 60_000;

/** Wait until `condition` returns a value other than false, null and undefined, and return the value. */
export async function waitFor<T>(condition: () => T): Promise<NonNullable<T>> {
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    const value = condition();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`timed out: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
