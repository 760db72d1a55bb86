// Reads an event stream with a library: node read.mjs LIBRARY URL. Prints each event as one line of JSON.
const [library, url] = process.argv.slice(2);
const NAMES = ["message", "welcome", "gap", "expiring", "bye"];

function print(event) {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

function follow(source) {
  for (const name of NAMES) {
    source.addEventListener(name, (event) => print({ name, id: event.lastEventId, data: JSON.parse(event.data) }));
  }
  source.onerror = (event) => {
    // A status means that the library has given up.
    const status = event.status ?? event.code;
    if (source.readyState === 2) print({ name: "closed", status });
  };
}

if (library === "fetch-event-source") {
  // The library is written for browsers, and uses these parts of a page.
  globalThis.window = globalThis;
  globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
  const { fetchEventSource } = await import("@microsoft/fetch-event-source");
  await fetchEventSource(url, {
    openWhenHidden: true,
    async onopen(response) {
      if (!response.ok) {
        print({ name: "closed", status: response.status });
        process.exit();
      }
    },
    onmessage(event) {
      // The library also reports blocks without data, such as `retry` alone.
      if (event.data) print({ name: event.event || "message", id: event.id, data: JSON.parse(event.data) });
    },
    onclose() {
      // An error makes the library reconnect after the end of a stream.
      throw new Error("the stream ended");
    },
  });
} else {
  const module = await import(library);
  const EventSource = module.EventSource ?? module.default.EventSource ?? module.default.EventSourcePolyfill ?? module.default;
  follow(new EventSource(url));
}
