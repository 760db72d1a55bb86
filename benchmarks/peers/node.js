// The http module of Node.js, with one write per reader and event. GET opens a stream, POST publishes.
const http = require("node:http");

const readers = new Set();

http.createServer((request, response) => {
  if (request.method === "GET") {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    readers.add(response);
    response.on("close", () => readers.delete(response));
    return;
  }
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const event = `data: ${Buffer.concat(parts)}\n\n`;
    for (const reader of readers) reader.write(event);
    response.writeHead(204).end();
  });
}).listen(Number(process.argv[2]), "127.0.0.1");
