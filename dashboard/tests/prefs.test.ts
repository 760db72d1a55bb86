import "./fakePage";
import assert from "node:assert/strict";
import { test } from "node:test";
import { signal } from "@preact/signals";
import { isText, pref } from "../src/shell/prefs";

test("every user has a value of their own, and an unknown user has none", () => {
  const owner = signal<string | null>(null);
  const note = pref("note", "-", isText, { owner });
  note.value = "lost";
  owner.value = "ann";
  assert.equal(note.value, "-");
  note.value = "buy";
  owner.value = null;
  assert.equal(note.value, "-");
  owner.value = "bob";
  assert.equal(note.value, "-");
  note.value = "sell";
  owner.value = "ann";
  assert.equal(note.value, "buy");
  assert.equal(localStorage.getItem("tickwire.note@bob"), '"sell"');
});

test("without users, the value belongs to the browser", () => {
  pref("size", "small", isText, { owner: signal("") }).value = "large";
  assert.equal(pref("size", "small", isText).value, "large");
});
