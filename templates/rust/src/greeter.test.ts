import assert from "node:assert/strict";
import { test } from "node:test";
import { createGreeter } from "./greeter.js";

test("the guest greets with the host's words", async () => {
  const greeter = await createGreeter();
  try {
    assert.match(await greeter.call.greet("Ada"), /^(Good morning|Hello), Ada!$/);
    assert.equal(await greeter.call.count_words("a few words"), 3);
  } finally {
    await greeter.close();
  }
});
