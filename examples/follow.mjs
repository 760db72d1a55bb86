// Follow a journal on NATS without Tickwire: every event as a line of JSON, from what `--codec protobuf` writes.
//
//     nats-server -js &
//     tickwire serve --journal nats://127.0.0.1/prices --codec protobuf &
//     node examples/follow.mjs 127.0.0.1 4222 prices          (with `all` at the end: from the oldest kept event on)
//
// It needs no package, to show all there is to it: NATS speaks lines of text, and the numbers below are those of the
// fields in src/tickwire/schemas/tickwire.proto. A program for every day takes a NATS client and what protoc makes of
// that file, and asks for a new consumer after the last message whenever a number is missing.
import { connect } from "node:net";

const [host = "127.0.0.1", port = "4222", journal = "tickwire-simulator", from = "new"] = process.argv.slice(2);
const TICK = ["symbol", "ts", "last", "bid", "ask", "bid_size", "ask_size", "size", "volume"];
const CANDLE = ["symbol", "interval", "start", "open", "high", "low", "close", "volume"];
const TIMES = new Set(["ts", "start"]);

// --- Protobuf (https://protobuf.dev/programming-guides/encoding/) ---

/** The number at `at` in seven bits a byte, and where it ends. */
function varint(data, at) {
  for (let value = 0n, shift = 0n; ; shift += 7n) {
    const byte = data[at++];
    value |= BigInt(byte & 127) << shift;
    if (!(byte & 128)) return [value, at];
  }
}

/** The fields of a message in turn: its number, and a BigInt or the bytes of its value. */
function* fields(data) {
  for (let at = 0, tag, value, size; at < data.length; ) {
    [tag, at] = varint(data, at);
    if ((tag & 7n) === 0n) [value, at] = varint(data, at);
    else {
      if ((tag & 7n) === 1n) size = 8n;
      else if ((tag & 7n) === 2n) [size, at] = varint(data, at);
      else throw new Error("this is no batch in Protobuf: does every process write that?");
      value = data.subarray(at, (at += Number(size)));
    }
    yield [Number(tag >> 3n), value];
  }
}

/** Numbers of eight bytes that stand side by side, each read by `read(place)`. */
const eights = (data, read) => Array.from({ length: data.length / 8 }, (_, place) => read.call(data, 8 * place));

/** Numbers in seven bits a byte that stand side by side. */
function varints(data) {
  const found = [];
  for (let at = 0, value; at < data.length; found.push(value)) [value, at] = varint(data, at);
  return found;
}

/** A message of columns as rows; NaN (not said) is left out, infinity (there is none) is null. */
function rows(data, names) {
  const columns = Object.fromEntries(names.map((name) => [name, []]));
  for (const [number, value] of fields(data)) {
    const name = names[number - 1];
    if (name === "symbol") columns.symbol.push(value.toString());
    else if (name === "interval") columns.interval = varints(value).map(Number);
    else if (TIMES.has(name)) columns[name] = eights(value, value.readBigInt64LE).map((ns) => Number(ns / 1000n));
    else columns[name] = eights(value, value.readDoubleLE);
  }
  return columns.symbol.map((_, row) => {
    const said = names.filter((name) => !Number.isNaN(columns[name][row]));
    return Object.fromEntries(said.map((name) => [name, columns[name][row] === Infinity ? null : columns[name][row]]));
  });
}

/** The events of one entry. */
function events(item) {
  for (const [number, value] of fields(item)) {
    if (number === 6) return rows(value, TICK);
    if (number === 7) return [JSON.parse(value)];
    if (number === 8) return rows(value, CANDLE);
  }
  return [];
}

/** Print a batch: the first event's number is in it, the others count on. */
function show(epoch, batch) {
  let number = 0n;
  for (const [field, value] of fields(batch)) {
    if (field === 1) number = value;
    const found = field === 3 ? events(value) : [];
    for (const event of found) console.log(JSON.stringify({ id: `${epoch}-${number++}`, ...event }));
  }
}

// --- NATS (https://docs.nats.io/reference/reference-protocols/nats-protocol) ---

const inbox = `_INBOX.follow.${process.pid}.${Date.now()}`;
const socket = connect(Number(port), host);
let rest = Buffer.alloc(0);
let epoch;

const send = (head, body) => socket.write(body === undefined ? `${head}\r\n` : `${head} ${body.length}\r\n${body}\r\n`);
const ask = (operation, reply, body = "") => send(`PUB $JS.API.${operation}.${journal} ${inbox}.${reply}`, body);

function begin() {
  send('CONNECT {"verbose":false,"headers":false}');
  for (const what in hear) send(`SUB ${inbox}.${what} ${what}`);
  ask("STREAM.INFO", "info");
}

/** The description of the stream names the epoch, which is the first part of every id. */
function found(answer) {
  if (answer.error) throw new Error(`the journal ${journal}: ${answer.error.description}`);
  epoch = answer.config.description.match(/epoch (\w+)/)[1];
  const config = { deliver_policy: from, deliver_subject: `${inbox}.batch`, ack_policy: "none", max_deliver: 1 };
  ask("CONSUMER.CREATE", "made", JSON.stringify({ stream_name: journal, config }));
}

function made(answer) {
  if (answer.error) throw new Error(`no consumer of ${journal}: ${answer.error.description}`);
  console.error(`following ${journal}, epoch ${epoch}`);
}

const hear = {
  info: (body) => found(JSON.parse(body)),
  made: (body) => made(JSON.parse(body)),
  batch: (body) => show(epoch, body),
};

socket.on("data", (piece) => {
  rest = Buffer.concat([rest, piece]);
  for (let end; (end = rest.indexOf("\r\n")) >= 0; ) {
    const words = rest.toString("latin1", 0, end).split(" ");
    const size = words[0] === "MSG" ? Number(words.at(-1)) + 2 : 0;
    if (rest.length < end + 2 + size) return;
    const body = rest.subarray(end + 2, end + size);
    rest = rest.subarray(end + 2 + size);
    if (words[0] === "INFO") begin();
    else if (words[0] === "PING") send("PONG");
    else if (words[0] === "-ERR") throw new Error(`NATS: ${words.slice(1).join(" ")}`);
    else if (words[0] === "MSG") hear[words[2]](body);
  }
});
socket.on("close", () => process.exit(1));
