import "./fakePage";
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { changeRate, decimalsOf } from "../src/format/decimals";
import { byteSize, compact, NONE, percent, price, quantity, signed } from "../src/format/numbers";
import { language } from "../src/words";

beforeEach(() => {
  language.value = "en";
});

test("prices have the decimals of their tick size", () => {
  assert.deepEqual([decimalsOf(0.25), decimalsOf(1.23e-7), decimalsOf(5), decimalsOf(0.1 + 0.2)], [2, 9, 0, 1]);
  assert.equal(price(1234.5, 2), "1,234.50");
  assert.equal(price(null, 2), NONE);
  assert.equal(price(1.23e-7, 9), "0.000000123");
});

test("changes have a sign, except zero", () => {
  assert.deepEqual([signed(1.2, 2), signed(-1.2, 2), signed(0, 2)], ["+1.20", "-1.20", "0.00"]);
  assert.equal(percent(0.654), "+0.65%");
});

test("a zero base or a change of sign has no percentage", () => {
  assert.deepEqual(
    [changeRate(0, 1), changeRate(-1, 1), changeRate(-10, -5), changeRate(10, 11)],
    [null, null, 50, 10],
  );
});

test("large numbers are short, with the units of the language", () => {
  assert.deepEqual([compact(1_200_345), byteSize(61_997_056)], ["1.2M", "62 MB"]);
  language.value = "zh";
  assert.equal(compact(1_200_345), "120万");
});

test("in Chinese, volumes of instruments with a lot size are lots", () => {
  const shares = { lot_size: 100 };
  assert.deepEqual([quantity(1_200, shares), quantity(null, shares)], ["1.2K", NONE]);
  language.value = "zh";
  assert.deepEqual([quantity(1_200, shares), quantity(50, shares)], ["12手", "0.5手"]);
  assert.deepEqual([quantity(1_200, { lot_size: null }), quantity(1_200, undefined)], ["1200", "1200"]);
});
