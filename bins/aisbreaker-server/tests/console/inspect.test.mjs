// Looking into a key, narrowing it and ending it.
import assert from "node:assert/strict";
import { visits } from "./support/browser.mjs";
import { SERVICE } from "./support/console.mjs";
import { introspect, mint } from "./support/server.mjs";
import { sees } from "./support/wait.mjs";
import { world } from "./support/world.mjs";

const shared = await world();
const visit = visits(shared);
const limits = (perMinute) => ({ requestsPerMinute: perMinute, requestsPerHour: 600, requestsPerDay: 6000 });
const GRANT = {
  requestQuotas: { perClientRequestLimits: limits(4), globalRequestLimits: limits(10) },
  budgets: { global: { usdPerDay: "20", tokensPerDay: 5000 } },
};

visit("what a key allows, and what is left of it", async ({ console }) => {
  const restrict = { services: ["chat:dummy", SERVICE], operations: ["chat/completions"], maxBodyBytes: 65536 };
  const key = await mint(shared.server, GRANT, { name: "reporting job", expirationTimeSpan: "3d", restrict });
  await console.ask("Hi", { model: `${SERVICE}/plain`, key });
  await sees(console.words, "Hello from the provider.");
  await console.inspect(key);

  await sees(console.view.getByRole("heading", { name: "reporting job" }), "reporting job");
  await sees(console.view, /in (3 days|2 days 23 hours)/);
  for (const text of [SERVICE, "chat/completions", "65,536"]) await sees(console.view, text);
  await assertBar(console, /^Requests a minute, each client/i, "3 of 4 left", 0.75);
  await assertBar(console, /^Requests a minute, all clients/i, "9 of 10 left", 0.9);
  // The answer had 1500 tokens, for 0.002 dollars.
  await assertBar(console, /^Tokens a day/i, "3,500 of 5,000 left", 0.7);
  await assertBar(console, /^Dollars a day/i, "$19.998 of $20.00 left", 0.9999);
});

visit("a spent limit says when there is more", async ({ console }) => {
  const once = { requestsPerMinute: 1, requestsPerHour: 9, requestsPerDay: 9 };
  const key = await mint(shared.server, { requestQuotas: { perClientRequestLimits: once, globalRequestLimits: once } });
  await console.ask("Hi", { model: "dummy", key });
  await sees(console.words, "Hi");
  await console.inspect(key);

  await assertBar(console, /^Requests a minute, each client/i, "0 of 1 left", 0);
  await sees(console.view, /More in (1 minute|\d+ seconds)/);
});

visit("a key without quotas has those of the server, and says so", async ({ console }) => {
  await console.inspect(await mint(shared.server));
  await sees(console.view, /default/);
});

visit("a text that is no key is not active", { statuses: [401] }, async ({ console }) => {
  await console.inspect("aisbreaker_not_a_key");
  await sees(console.view, "not active");
});

visit("a result goes when another key is inspected", { statuses: [401, 503] }, async ({ console, page }) => {
  await console.inspect(await mint(shared.server, GRANT, { name: "the first" }));
  await console.button("Revoke").waitFor();
  let answer;
  const released = new Promise((resolve) => (answer = resolve));
  await page.route("**/oauth/**", (route) => released.then(() => route.fulfill({ status: 503, body: "{}" })));

  const quota = page.waitForResponse("**/quota");
  await console.inspect("aisbreaker_another");
  assert.equal(await console.button("Revoke").count(), 0);
  assert.equal(await console.view.getByRole("meter").count(), 0);
  await quota;
  answer();
  await console.alert.waitFor();
  assert.equal(await console.button("Revoke").count(), 0);
});

visit("no result is shown for a key that was replaced meanwhile", async ({ console, page }) => {
  const key = await mint(shared.server);
  let answer;
  const released = new Promise((resolve) => (answer = resolve));
  await page.route("**/oauth/**", (route) => released.then(() => route.continue()));

  await console.inspect(key);
  await console.field("Key").fill("aisbreaker_another");
  const answered = page.waitForResponse("**/oauth/**");
  answer();
  await (await answered).finished();
  // It can be inspected by then, and only then.
  await page.locator("#inspect-form [type=submit][aria-disabled=false]").waitFor();
  assert.equal(await console.button("Revoke").count(), 0);
});

visit("a refused form leaves a key that is shown once", async ({ console }) => {
  await console.inspect(await mint(shared.server, GRANT));
  await narrow(console, { services: "chat:dummy", lifetime: "1h", name: "below" });
  const key = await console.key.inputValue();
  await console.field("Key").fill("");
  await console.button("Inspect").first().click();
  await sees(console.view, "Paste a key.");
  assert.equal(await console.key.inputValue(), key);
});

visit("a narrowed key can do less, and counts for the one above", { statuses: [404] }, async ({ console }) => {
  await console.inspect(await mint(shared.server, GRANT, { name: "above" }));
  await narrow(console, { services: "chat:dummy", lifetime: "1h", name: "below" });
  const key = await console.key.inputValue();
  const found = await introspect(shared.server, key);
  assert.deepEqual(found.restrict, [{ services: ["chat:dummy"] }]);
  assert.equal(found.name, "below");
  assert.equal(found.ancestors.length, 1);

  await console.button("Use in playground").click();
  await console.ask("Hi", { model: "dummy" });
  await sees(console.words, "Hi");
  await console.ask("Hi", { model: `${SERVICE}/plain` });
  await sees(console.alert, "404");
  await console.inspect(key);
  await sees(console.view, "below");
  await assertBar(console, /^Requests a minute, each client/i, "2 of 4 left", 0.5);
});

visit("a revoked key is refused from then on", { statuses: [401] }, async ({ console }) => {
  const key = await mint(shared.server);
  await console.inspect(key);
  await console.button("Revoke").click();
  await console.button("Keep it").click();
  assert.equal((await introspect(shared.server, key)).active, true);

  await console.button("Revoke").click();
  await console.button("Revoke for good").click();
  await sees(console.view, "Revoked");
  assert.equal((await introspect(shared.server, key)).active, false);
  await console.open("Playground");
  await console.ask("Hi", { model: "dummy" });
  await sees(console.alert, "401");
});

visit("a key that ends while it is looked at says so", async ({ console, page }) => {
  await page.clock.install();
  await console.inspect(await mint(shared.server, {}, { expirationTimeSpan: "1h" }));
  await sees(console.view, "Active");
  await page.clock.runFor("01:00:01");
  await sees(console.view, "Expired");
});

async function narrow(console, { services, lifetime, name }) {
  await console.field("Name").fill(name);
  await console.field("Lifetime").fill(lifetime);
  await console.part("Restrictions").click();
  await console.field("Services and models").fill(services);
  await console.button("Narrow").click();
  await console.key.waitFor();
}

async function assertBar(console, name, text, part) {
  const bar = console.view.getByRole("meter", { name });
  await bar.waitFor();
  assert.equal(await bar.getAttribute("aria-valuetext"), text);
  assert.equal(Number(await bar.getAttribute("aria-valuenow")), part);
  // As it is drawn: the inner part of the bar, by its width.
  const drawn = await bar.evaluate(
    (element) => element.firstElementChild.getBoundingClientRect().width / element.clientWidth,
  );
  assert.ok(Math.abs(drawn - part) < 0.02, `${drawn} of the bar is drawn`);
}
