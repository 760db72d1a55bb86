import "./fakePage";
import assert from "node:assert/strict";
import { test } from "node:test";
import { language } from "../src/words";
import { serverText } from "../src/words/serverText";

test("texts of the server are translated with their parts", () => {
  language.value = "zh";
  assert.equal(serverText("unknown field 'volum'"), "未知字段 'volum'");
  assert.equal(serverText("expected ',' or ')', found 'volume'"), "此处应为 “,” 或 “)”，但写的是 'volume'");
  assert.equal(serverText("expected '(' after 'in', but the filter ends"), "此处应为 'in' 之后的 “(”，但条件已结束");
  assert.equal(serverText("write the name of the field alone"), "请只写字段名");
  assert.equal(serverText("write >="), "请写 >=");
  assert.equal(
    serverText("write 1 < last and last < ..., or use between"),
    "请写 1 < last and last < …，或使用 between",
  );
});

test("a text without a translation, and every text on an English page, stay as they are", () => {
  language.value = "zh";
  assert.equal(serverText("the journal is full"), "the journal is full");
  language.value = "en";
  assert.equal(serverText("expected a condition"), "expected a condition");
});
