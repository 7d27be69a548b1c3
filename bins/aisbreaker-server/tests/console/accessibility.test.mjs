// Every view and state by axe's rules, and the whole way by keyboard.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Visit, visits } from "./support/browser.mjs";
import { addressOf, SCENES } from "./support/scenes.mjs";
import { sees } from "./support/wait.mjs";
import { world } from "./support/world.mjs";

const shared = await world();
const visit = visits(shared);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

for (const [name, show] of Object.entries(SCENES)) {
  test(`${name}: axe finds nothing, in light and dark`, async () => {
    // Only here: the policy of the page forbids axe as well.
    const visit = await Visit.open(shared.browser, addressOf(shared.server, name), { bypassCSP: true });
    await show(visit, shared);
    await visit.page.evaluate(axe);
    for (const colorScheme of ["light", "dark"]) {
      await visit.page.emulateMedia({ colorScheme });
      assert.deepEqual(await violations(visit.page), [], colorScheme);
    }
    await visit.context.close();
  });
}

const violations = (page) =>
  page.evaluate(async () => {
    const { violations, passes } = await globalThis.axe.run();
    if (passes.length < 10) return ["axe has checked next to nothing"];
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
  });

test("axe finds what is wrong", async () => {
  const visit = await Visit.open(shared.browser, `${shared.server.url}/console/`, { bypassCSP: true });
  await visit.page.evaluate(axe);
  await visit.page.evaluate(() => {
    document.querySelector("label").remove();
    document.body.style.color = "#ccc";
  });
  const found = (await violations(visit.page)).map((text) => text.split(":")[0]);
  assert.ok(found.includes("color-contrast") && found.some((id) => id.startsWith("label")), found.join());
  await visit.context.close();
});

visit("a key and its answer by keyboard alone", async ({ page, console }) => {
  const tabTo = (name) => tabUntil(page, name);
  await tabTo("Mint");
  await page.keyboard.press("Enter");
  await tabTo("Service");
  await page.keyboard.type("chat:dummy");
  await page.keyboard.press("Escape");
  await tabTo("Mint key");
  await page.keyboard.press("Enter");
  await console.key.waitFor();
  await tabTo("Use in playground");
  await page.keyboard.press("Enter");
  await tabTo("Message");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("By keyboard");
  await tabTo("Send");
  await page.keyboard.press("Enter");

  await sees(console.words, "By keyboard");
  assert.match(await console.field("Key").inputValue(), /^aisbreaker_/);
});

visit("Stop by keyboard leaves the focus where the next step is", async ({ page, console }) => {
  await page.route("**/v1/**", () => new Promise(() => {}));
  await console.button("Send").focus();
  await page.keyboard.press("Enter");
  await console.button("Stop").waitFor();
  await tabUntil(page, "Stop");
  await page.keyboard.press("Enter");

  await console.button("Stop").waitFor({ state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Send");
});

// Each way of the focus through a view, forwards, until it leaves the page. What has the focus must be seen.
for (const view of ["playground", "mint", "inspect"]) {
  visit(
    `${view}: the focus is seen and trapped nowhere`,
    { at: `${shared.server.url}/console/#${view}` },
    async ({ page }) => {
      const seen = [];
      for (;;) {
        await page.keyboard.press("Tab");
        const stop = await page.evaluate(() => {
          const element = document.activeElement;
          if (element === document.body) return undefined;
          const { top, left, width, height } = element.getBoundingClientRect();
          const style = getComputedStyle(element);
          const isMarked =
            (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2) || style.boxShadow !== "none";
          const isInView = width > 1 && height > 1 && top < innerHeight && top + height > 0 && left >= 0;
          return { element: element.outerHTML.slice(0, 100), isMarked, isInView };
        });
        if (!stop) break;
        assert.ok(stop.isMarked && stop.isInView, JSON.stringify(stop));
        seen.push(stop.element);
        assert.ok(seen.length < 60, `the focus goes in circles: ${seen.slice(-4).join()}`);
      }
      assert.ok(
        seen.some((element) => element.includes("primary")),
        seen.join(),
      );
    },
  );
}

visit("nothing moves for those who want less motion", { reducedMotion: "reduce" }, async (visit) => {
  await SCENES["playground streaming"](visit, shared);
  const motions = await visit.page.evaluate(() => ({
    animations: document.getAnimations().length,
    transitions: [...document.querySelectorAll("*")].filter(
      (one) => parseFloat(getComputedStyle(one).transitionDuration) > 0.01,
    ).length,
    scrolling: getComputedStyle(document.documentElement).scrollBehavior,
  }));
  assert.deepEqual(motions, { animations: 0, transitions: 0, scrolling: "auto" });
  shared.provider.release();
});

visit("the view is announced", async ({ page, console }) => {
  for (const [view, title] of [
    ["Mint", "Mint a key"],
    ["Inspect", "Inspect a key"],
    ["Playground", "Playground"],
  ]) {
    await console.open(view);
    await page.getByRole("heading", { level: 2, name: title }).waitFor();
    assert.match(await page.title(), new RegExp(title));
    assert.equal(await page.getByRole("navigation").locator("[aria-current]").textContent(), view);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), title);
  }
});

// Presses Tab until an element of this name has the focus, at most once around.
async function tabUntil(page, name) {
  for (let count = 0; count < 60; count++) {
    await page.keyboard.press("Tab");
    const label = await page.evaluate(() => {
      const element = document.activeElement;
      const text = element.ariaLabel ?? element.labels?.[0]?.textContent ?? element.textContent;
      return text.trim().replace(/ optional$/, "");
    });
    if (label === name) return;
  }
  assert.fail(`the focus does not reach ${name}`);
}
