"""A page that uses the JavaScript client."""

from __future__ import annotations

from http.server import SimpleHTTPRequestHandler
from pathlib import Path

JS_CLIENT = Path(__file__).parents[2] / "clients" / "js" / "dist"

# The function that starts a client in the page. It receives the URL of the server and options.
START = """async ([server, options]) => {
  const { TickwireClient } = await import("./index.js");
  window.prices = {};
  window.messages = [];
  window.client = new TickwireClient({ server, backoff: { minMs: 10, maxMs: 200 }, ...options });
  client.on("quote", ({ symbol, last }) => (prices[symbol] ??= []).push(last));
  client.on("note", (data) => messages.push(data));
  client.onDefault(() => undefined);
}"""


class EmptyPage(SimpleHTTPRequestHandler):
    """Answers with the files of the client, or else with an empty page."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        """Answer with a file, or with an empty page."""
        if self.path.endswith(".js"):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>test</title>")
