// Waiting for conditions.
import assert from "node:assert/strict";

const PATIENCE = 10_000;

// Waits until `check` does not throw. The last error is the test's.
export async function eventually(check) {
  for (const end = performance.now() + PATIENCE; ;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// Waits until an element has this text in it.
export const sees = (locator, text) =>
  eventually(async () => {
    const [shown, ...others] = await locator.allInnerTexts();
    assert.ok(others.length === 0, `${others.length + 1} elements: ${locator}`);
    assert.ok(shown !== undefined, `no ${locator}`);
    if (text instanceof RegExp) assert.match(shown, text);
    else assert.ok(shown.includes(text), `${JSON.stringify(shown)} does not have ${JSON.stringify(text)}`);
  });
