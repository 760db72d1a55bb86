import assert from "node:assert/strict";
import { test } from "node:test";
import library from "pinyin-match";
import type { Instrument } from "../src/api/types";
import { searchSymbols } from "../src/chart/symbolSearch";
import { pinyin, withMemory } from "../src/format/pinyin";
import { type Command, findItems } from "../src/palette/commands";

const command = (title: string, words = ""): Command => ({ id: title, title, words, run: () => undefined });
const commands = [
  command("Go to: Board"),
  command("Go to: Market"),
  command("Theme: Dark", "colours"),
  command("转到：行情"),
];
const names = { MA: "Mastercard", AAPL: "Apple Inc.", MAR: "Marriott" };
const instruments = new Map(Object.entries(names).map(([symbol, name]) => [symbol, { symbol, name } as Instrument]));
instruments.set("AAPL", { symbol: "AAPL", name: "Apple Inc.", name_zh: "苹果" } as Instrument);

const find = (text: string): string[] =>
  findItems(text, commands, instruments.keys(), instruments).map((item) =>
    item.kind === "symbol" ? item.match.symbol : item.command.title,
  );

test("symbols are found by code and name, an exact code first", () => {
  assert.deepEqual(find("ma"), ["MA", "MAR", "Go to: Market"]);
  assert.deepEqual(find("apple"), ["AAPL"]);
  assert.deepEqual(find("苹果"), ["AAPL"]);
});

test("symbols are found by the pinyin of the Chinese name, as soon as the dictionary is loaded", () => {
  const chinese = { "600519.SH": "贵州茅台", "600036.SH": "招商银行", "601398.SH": "工商银行" };
  const known = new Map(
    Object.entries(chinese).map(([symbol, name_zh]) => [symbol, { symbol, name: null, name_zh } as Instrument]),
  );
  const symbols = (text: string): string[] => searchSymbols(text, known.keys(), known).map(({ symbol }) => symbol);
  assert.deepEqual(symbols("gzmt"), []);
  pinyin.value = (text, query) => library.match(text, query) !== false;
  assert.deepEqual(symbols("gzmt"), ["600519.SH"]);
  assert.deepEqual(symbols("maotai"), ["600519.SH"]);
  // 行 has two readings, and the second one is used in the word for bank.
  assert.deepEqual(symbols("yh"), ["600036.SH", "601398.SH"]);
  assert.deepEqual(symbols("mtgz"), []);
});

test("a name is matched once for each query", () => {
  const calls: string[] = [];
  const match = withMemory((text, query) => {
    calls.push(`${text} ${query}`);
    return text === query;
  });
  for (const query of ["a", "a", "b", "a"])
    assert.deepEqual([match("a", query), match("b", query)], [query === "a", query === "b"]);
  assert.deepEqual(calls, ["a a", "b a", "a b", "b b", "a a", "b a"]);
});

test("commands are found by the beginnings of their words", () => {
  assert.deepEqual(find("go bo"), ["Go to: Board"]);
  assert.deepEqual(find("colour"), ["Theme: Dark"]);
  assert.deepEqual(find("行情"), ["转到：行情"]);
  assert.deepEqual(find("oard"), []);
});

test("without a text, all commands are listed and no symbols", () => {
  assert.equal(find("").length, commands.length);
});
