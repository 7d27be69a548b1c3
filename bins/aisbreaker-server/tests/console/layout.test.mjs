// Nothing is cut off or has to be scrolled sideways, on any screen, with large letters too.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Visit } from "./support/browser.mjs";
import { addressOf, SCENES } from "./support/scenes.mjs";
import { world } from "./support/world.mjs";

const shared = await world();
const WIDTHS = [320, 375, 768, 1280, 1920];

for (const [name, show] of Object.entries(SCENES)) {
  test(`${name}: fits every screen`, async () => {
    const visit = await Visit.open(shared.browser, addressOf(shared.server, name));
    await show(visit, shared);
    for (const width of WIDTHS) {
      await visit.page.setViewportSize({ width, height: 900 });
      assert.deepEqual(await faultsOf(visit.page), [], `${width} px`);
    }
    await visit.page.setViewportSize({ width: 640, height: 900 });
    const size = () =>
      visit.page.evaluate(() => parseFloat(getComputedStyle(document.querySelector("p.lead")).fontSize));
    const before = await size();
    await visit.devtools.send("Page.setFontSizes", { fontSizes: { standard: 32, fixed: 26 } });
    assert.equal(await size(), 2 * before, "letters have twice their size");
    assert.deepEqual(await faultsOf(visit.page), [], "200 % letters");
    await visit.context.close();
  });
}

// What reaches beyond the edges of the page, text that is cut off in a box that cannot be scrolled, and words that are
// broken in two.
const faultsOf = (page) =>
  page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const found = scrollWidth > clientWidth ? [`the page: ${scrollWidth} px`] : [];
    const name = (element) => element.outerHTML.slice(0, 80);
    for (const element of document.querySelectorAll("body *")) {
      const { left, right, width, height } = element.getBoundingClientRect();
      // What only screen readers read is one pixel in size.
      if (width <= 1 || height <= 1 || !element.checkVisibility()) continue;
      const isScrolled = element.parentElement.closest("pre, .scroll") !== null;
      if (!isScrolled && (left < -0.5 || right > clientWidth + 0.5))
        found.push(`${name(element)}: ${left} to ${right}`);
      const { overflowX, overflowY } = getComputedStyle(element);
      if (overflowX === "hidden" && element.scrollWidth > element.clientWidth + 1)
        found.push(`${name(element)} is cut off`);
      if (overflowY === "hidden" && element.scrollHeight > element.clientHeight + 1)
        found.push(`${name(element)} is cut off`);
    }
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    while (texts.nextNode()) {
      const text = texts.currentNode;
      const parent = text.parentElement;
      if (parent.closest(".output, code, textarea") || parent.offsetWidth <= 1 || !parent.checkVisibility()) continue;
      // Longer ones may be: ids, addresses.
      for (const { 0: word, index } of text.data.matchAll(/(?<!\S)[A-Za-z]{2,14}(?!\S)/g)) {
        range.setStart(text, index);
        range.setEnd(text, index + word.length);
        if (new Set([...range.getClientRects()].map(({ top }) => top)).size > 1)
          found.push(`“${word}” is broken in two`);
      }
    }
    return found;
  });
