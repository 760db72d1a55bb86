import assert from "node:assert/strict";
import { test } from "node:test";
import type { Instrument } from "../src/api/types";
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

test("commands are found by the beginnings of their words", () => {
  assert.deepEqual(find("go bo"), ["Go to: Board"]);
  assert.deepEqual(find("colour"), ["Theme: Dark"]);
  assert.deepEqual(find("行情"), ["转到：行情"]);
  assert.deepEqual(find("oard"), []);
});

test("without a text, all commands are listed and no symbols", () => {
  assert.equal(find("").length, commands.length);
});
