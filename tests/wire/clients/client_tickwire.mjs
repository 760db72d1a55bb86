// Prints each event that the JavaScript client of Tickwire reads, as one line of JSON.
import { TickwireClient } from "../../../clients/js/dist/index.js";

const url = new URL(process.argv[2]);
const { symbols, fields, last_event_id: since, access_token: token, ...options } = Object.fromEntries(url.searchParams);
const client = new TickwireClient({
  server: url.origin,
  symbols: symbols.split(","),
  fields: fields.split(","),
  since,
  token,
  ...options,
});
client.onDefault((data, { name, id }) => {
  process.stdout.write(`${JSON.stringify({ name: name === "quote" ? "message" : name, id, data })}\n`);
});
