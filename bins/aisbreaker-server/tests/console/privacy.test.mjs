// A key is in variables and fields of the page, and nowhere else. Forget, a reload and leaving end that.
import assert from "node:assert/strict";
import { visits } from "./support/browser.mjs";
import { SERVICE } from "./support/console.mjs";
import { eventually, sees } from "./support/wait.mjs";
import { mint } from "./support/server.mjs";
import { world } from "./support/world.mjs";

const SECRET = "sk-typed-into-the-console";
const MESSAGE = "a message that nobody else reads";
const shared = await world();
const visit = visits(shared);

// Every visit ends with a look at storages, cookies, caches, addresses and the history: `assertClean`.
visit("a key that is used everywhere is kept nowhere", async (visit) => {
  visit.secrets.push(MESSAGE, SECRET, encodeURIComponent(MESSAGE));
  await useAKey(visit);
});

visit("Forget ends it in every view", async (visit) => {
  const key = await useAKey(visit);
  for (const view of ["Playground", "Mint", "Inspect"]) {
    await visit.console.open(view);
    if (view === "Playground") await visit.console.forget.click();
    await assertForgotten(visit.page, key);
  }
});

visit("Forget ends an answer that is arriving", async ({ page, console }) => {
  const disconnects = shared.provider.disconnects;
  const key = await mint(shared.server);
  await console.ask(MESSAGE, { model: `${SERVICE}/endless`, key });
  await sees(console.words, "again");
  await console.forget.click();

  await eventually(() => assert.equal(shared.provider.disconnects, disconnects + 1));
  await assertForgotten(page, key);
  assert.equal(await console.words.textContent(), "");
  assert.ok(!(await console.button("Stop").isVisible()));
});

visit("Forget ends what a slow server answers later", async ({ page, console }) => {
  let answer;
  const asked = new Promise((resolve) => page.route("**/oauth/introspect", (route) => resolve((answer = route))));
  const key = await mint(shared.server, {}, { name: "late" });
  await console.inspect(key);
  await asked;
  await console.forget.click();
  const [response] = await Promise.all([page.waitForResponse("**/oauth/introspect"), answer.continue()]);
  await response.finished();
  // What follows the answer in the page has its turn first.
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve)));

  await assertForgotten(page, key);
  assert.ok(!(await page.locator("main").innerText()).includes("late"));
});

visit("a reload ends it", async (visit) => {
  const key = await useAKey(visit);
  await visit.page.reload();
  await assertForgotten(visit.page, key);
});

// Chromium keeps the whole page for Back, with its variables and fields.
const shown = () => addEventListener("pageshow", ({ persisted }) => (window.wasKept = persisted));
visit("Back finds no key", { init: shown }, async (visit) => {
  const key = await useAKey(visit);
  await visit.page.goto(`${shared.server.url}/api/v1/ping`);
  await visit.page.goBack({ waitUntil: "commit" });
  await visit.page.waitForFunction(() => window.wasKept);
  await assertForgotten(visit.page, key);
});

visit("what is typed is offered to no store of passwords and no list of what was typed before", async ({ page }) => {
  const remembered = await page
    .locator("input, textarea")
    .evaluateAll((fields) =>
      fields
        .filter((one) => !["radio", "checkbox"].includes(one.type) && (one.autocomplete !== "off" || one.name))
        .map((one) => one.outerHTML),
    );
  assert.deepEqual(remembered, []);
});

// Mints a key, asks with it and inspects it. Returns the key.
async function useAKey({ console }) {
  await console.open("Mint");
  await console.fillService(1, SERVICE, SECRET);
  const key = await console.mint();
  await console.button("Use in playground").click();
  await console.ask(MESSAGE, { model: "dummy/echo" });
  await sees(console.words, MESSAGE);
  await console.inspect(key);
  await sees(console.view, "Active");
  return key;
}

// Neither the text of the page nor a field of it has a secret. Elements that are hidden are looked at as well.
async function assertForgotten(page, key) {
  const content = await page.evaluate(() => {
    const values = [...document.querySelectorAll("input, textarea, select")].map(({ value }) => value);
    return [document.documentElement.outerHTML, ...values, document.title].join("\n");
  });
  for (const secret of [key, SECRET, MESSAGE]) assert.ok(!content.includes(secret), `the page still has ${secret}`);
}
