// Follow a journal on NATS without Tickwire: print every event of a `--codec protobuf` journal as a line of JSON.
//
//     nats-server -js &
//     tickwire serve --journal nats://127.0.0.1/prices --codec protobuf &
//     node examples/follow.mjs 127.0.0.1 4222 prices
//
// Add `all` at the end to start with the oldest event in the journal.
//
// The program imports no package, so that the source shows every step. The NATS protocol consists of lines of text. The
// field numbers below come from src/tickwire/schemas/tickwire.proto. In production, use a NATS client and the classes
// that protoc generates from this file. If a sequence number is missing, create a new consumer after the last message.
import { connect } from "node:net";

const [host = "127.0.0.1", port = "4222", journal = "tickwire-simulator", from = "new"] = process.argv.slice(2);
const TICK = ["symbol", "ts", "last", "bid", "ask", "bid_size", "ask_size", "size", "volume"];
const CANDLE = ["symbol", "interval", "start", "open", "high", "low", "close", "volume"];
const TIMES = new Set(["ts", "start"]);

// --- Protobuf (https://protobuf.dev/programming-guides/encoding/) ---

/** Read the varint at the offset `at`. Return its value and the offset of the next byte. */
function varint(data, at) {
  for (let value = 0n, shift = 0n; ; shift += 7n) {
    const byte = data[at++];
    value |= BigInt(byte & 127) << shift;
    if (!(byte & 128)) return [value, at];
  }
}

/** Yield the fields of a message: the number of each field, and its value as a BigInt or as bytes. */
function* fields(data) {
  for (let at = 0, tag, value, size; at < data.length; ) {
    [tag, at] = varint(data, at);
    if ((tag & 7n) === 0n) [value, at] = varint(data, at);
    else {
      if ((tag & 7n) === 1n) size = 8n;
      else if ((tag & 7n) === 2n) [size, at] = varint(data, at);
      else throw new Error("the message is not a Protobuf batch: start every process with --codec protobuf");
      value = data.subarray(at, (at += Number(size)));
    }
    yield [Number(tag >> 3n), value];
  }
}

/** Read packed eight-byte numbers. `read(offset)` reads one number. */
const fixed64s = (data, read) => Array.from({ length: data.length / 8 }, (_, index) => read.call(data, 8 * index));

/** Read packed varints. */
function varints(data) {
  const values = [];
  for (let at = 0, value; at < data.length; values.push(value)) [value, at] = varint(data, at);
  return values;
}

/** Convert a message of columns to rows. Omit NaN (the field is not set). Convert infinity (no value) to null. */
function rows(data, names) {
  const columns = Object.fromEntries(names.map((name) => [name, []]));
  for (const [number, value] of fields(data)) {
    const name = names[number - 1];
    if (name === "symbol") columns.symbol.push(value.toString());
    else if (name === "interval") columns.interval = varints(value).map(Number);
    else if (TIMES.has(name)) columns[name] = fixed64s(value, value.readBigInt64LE).map((ns) => Number(ns / 1000n));
    else columns[name] = fixed64s(value, value.readDoubleLE);
  }
  return columns.symbol.map((_, row) => {
    const set = names.filter((name) => !Number.isNaN(columns[name][row]));
    return Object.fromEntries(set.map((name) => [name, columns[name][row] === Infinity ? null : columns[name][row]]));
  });
}

/** Decode the events of one entry: ticks, a named event, or candles. */
function events(item) {
  for (const [number, value] of fields(item)) {
    if (number === 6) return rows(value, TICK);
    if (number === 7) return [JSON.parse(value)];
    if (number === 8) return rows(value, CANDLE);
  }
  return [];
}

/** Print a batch. The batch contains the sequence number of its first event. The events have consecutive numbers. */
function show(epoch, batch) {
  let number = 0n;
  for (const [field, value] of fields(batch)) {
    if (field === 1) number = value;
    if (field !== 3) continue;
    for (const event of events(value)) console.log(JSON.stringify({ id: `${epoch}-${number++}`, ...event }));
  }
}

// --- NATS (https://docs.nats.io/reference/reference-protocols/nats-protocol) ---

const inbox = `_INBOX.follow.${process.pid}.${Date.now()}`;
const socket = connect(Number(port), host);
let rest = Buffer.alloc(0);
let epoch;

const send = (head, body) => socket.write(body === undefined ? `${head}\r\n` : `${head} ${body.length}\r\n${body}\r\n`);
const request = (operation, reply, body = "") => send(`PUB $JS.API.${operation}.${journal} ${inbox}.${reply}`, body);

/** Subscribe to all replies, and request the description of the stream. */
function start() {
  send('CONNECT {"verbose":false,"headers":false}');
  for (const reply in handlers) send(`SUB ${inbox}.${reply} ${reply}`);
  request("STREAM.INFO", "info");
}

/** Read the epoch, the first part of every id, from the description of the stream. Then create a consumer. */
function onStreamInfo(answer) {
  if (answer.error) throw new Error(`the journal ${journal}: ${answer.error.description}`);
  epoch = answer.config.description.match(/epoch (\w+)/)[1];
  const config = { deliver_policy: from, deliver_subject: `${inbox}.batch`, ack_policy: "none", max_deliver: 1 };
  request("CONSUMER.CREATE", "consumer", JSON.stringify({ stream_name: journal, config }));
}

function onConsumer(answer) {
  if (answer.error) throw new Error(`cannot create a consumer of ${journal}: ${answer.error.description}`);
  console.error(`following ${journal}, epoch ${epoch}`);
}

const handlers = {
  info: (body) => onStreamInfo(JSON.parse(body)),
  consumer: (body) => onConsumer(JSON.parse(body)),
  batch: (body) => show(epoch, body),
};

socket.on("data", (chunk) => {
  rest = Buffer.concat([rest, chunk]);
  for (let end; (end = rest.indexOf("\r\n")) >= 0; ) {
    const words = rest.toString("latin1", 0, end).split(" ");
    const size = words[0] === "MSG" ? Number(words.at(-1)) + 2 : 0;
    if (rest.length < end + 2 + size) return;
    const body = rest.subarray(end + 2, end + size);
    rest = rest.subarray(end + 2 + size);
    if (words[0] === "INFO") start();
    else if (words[0] === "PING") send("PONG");
    else if (words[0] === "-ERR") throw new Error(`NATS: ${words.slice(1).join(" ")}`);
    else if (words[0] === "MSG") handlers[words[2]](body);
  }
});
socket.on("close", () => process.exit(1));
