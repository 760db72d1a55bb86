import assert from "node:assert/strict";
import { test } from "node:test";
import { type Pane, paneAddress, parsePanes, resized } from "../src/chart/panes";

const DEFAULTS = { kind: "1m", more: "" } as const;
const pane = (symbol: string, kind: Pane["kind"] = "1m", compare = ""): Pane => ({ symbol, kind, compare });

test("an address keeps all charts", () => {
  const panes = [pane("BRK/B", "5m", "SPY"), pane("A,B", "intraday"), pane("100%", "1d", "^GSPC")];
  const { path, query } = paneAddress(panes);
  assert.deepEqual(parsePanes(path, new URLSearchParams(new URLSearchParams(query).toString()), DEFAULTS), panes);
});

test("an address without an interval keeps the other charts of the last visit", () => {
  const defaults = { kind: "1h", more: "MSFT/5m/" } as const;
  assert.deepEqual(parsePanes(["AAPL"], new URLSearchParams(), defaults), [pane("AAPL", "1h"), pane("MSFT", "5m")]);
  assert.deepEqual(parsePanes(["AAPL", "1m"], new URLSearchParams(), defaults), [pane("AAPL")]);
});

test("invalid parts of an address have defaults", () => {
  const panes = parsePanes(["AAPL", "7m"], new URLSearchParams({ more: "X/9m,%E0,,A/1s,B/1s,C/1s" }), DEFAULTS);
  assert.deepEqual(panes, [pane("AAPL"), pane("X"), pane("%E0"), pane("A", "1s")]);
});

test("new charts show symbols that no other chart shows", () => {
  const two = resized([pane("A", "5m")], 2, ["A", "B", "C"]);
  assert.deepEqual(two, [pane("A", "5m"), pane("B", "5m")]);
  assert.deepEqual(
    resized(two, 4, ["A", "B", "C"]).map(({ symbol }) => symbol),
    ["A", "B", "C", "A"],
  );
  assert.deepEqual(resized(two, 1, []), [pane("A", "5m")]);
});
