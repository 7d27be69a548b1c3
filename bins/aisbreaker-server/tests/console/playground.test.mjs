// Asking a model: the answer as it arrives, what it took, and what goes wrong.
import assert from "node:assert/strict";
import { visits } from "./support/browser.mjs";
import { SERVICE } from "./support/console.mjs";
import { mint, revoke } from "./support/server.mjs";
import { eventually, sees } from "./support/wait.mjs";
import { world } from "./support/world.mjs";

const shared = await world();
const visit = visits(shared);
const model = (name) => `${SERVICE}/${name}`;
const ONCE = { requestsPerMinute: 1, requestsPerHour: 1, requestsPerDay: 1 };
const PLENTY = { requestsPerMinute: 100, requestsPerHour: 100, requestsPerDay: 100 };

visit("the dummy answers without a key within two seconds", async ({ page, console }) => {
  const start = performance.now();
  await page.reload();
  await console.button("Send").click();
  await sees(console.words, "What is a gateway?");
  await sees(console.figure("Whole answer"), /\d+ ms/);
  const elapsed = performance.now() - start;

  assert.ok(elapsed < 2000, `${elapsed} ms`);
  await sees(console.figure("First word"), /\d+ ms/);
  await sees(console.figure("Tokens written"), /^\d+$/);
  assert.equal(await console.answer.getAttribute("aria-busy"), "false");
});

visit("an answer is shown while it arrives", async ({ console }) => {
  shared.provider.hold();
  await console.ask("Hi", { model: model("held"), key: await mint(shared.server) });
  await sees(console.words, /^Hello\s*$/);
  assert.equal(await console.answer.getAttribute("aria-busy"), "true");

  shared.provider.release();
  await sees(console.words, "Hello from the provider.");
  await eventually(async () => assert.equal(await console.answer.getAttribute("aria-busy"), "false"));
  assert.ok(!(await console.button("Stop").isVisible()));
});

visit("Stop ends the call at the provider, and the next one works", async ({ console }) => {
  const disconnects = shared.provider.disconnects;
  await console.ask("Hi", { model: model("endless"), key: await mint(shared.server) });
  await sees(console.words, "again again");
  await console.button("Stop").click();

  await eventually(() => assert.equal(shared.provider.disconnects, disconnects + 1));
  await sees(console.page.getByRole("status"), "Stopped");
  await sees(console.words, "again again");
  assert.equal(await console.alert.count(), 0);
  await console.ask("Hi", { model: model("plain") });
  await sees(console.words, /^Hello from the provider\.$/);
});

visit("an answer has its time, tokens and cost", async ({ console }) => {
  const key = await mint(shared.server, { budgets: { global: { usdPerDay: "1" } } });
  await console.ask("Hi", { model: model("plain"), key });

  await sees(console.figure("First word"), /\d+ ms/);
  await sees(console.figure("Tokens read"), "1,000");
  await sees(console.figure("Tokens written"), "500");
  // 1000 tokens at 1 dollar a million, and 500 at 2.
  await sees(console.figure("Cost"), "$0.002");
});

visit("a model of Anthropic is asked by Anthropic's API", async ({ console }) => {
  const serviceSecrets = [{ serviceId: "chat:anthropic.com", authSecret: "sk-ant" }];
  await console.ask("Hi", { model: "anthropic.com/claude", key: await mint(shared.server, { serviceSecrets }) });

  await sees(console.words, /^Hello from the provider\.$/);
  await sees(console.figure("Tokens read"), "1,000");
  await sees(console.figure("Tokens written"), "500");
  assert.equal(shared.provider.calls.at(-1).path, "/v1/messages");
});

visit("the models of a key can be chosen", async ({ console }) => {
  await console.field("Key").fill(await mint(shared.server));
  await console.button("List models").click();
  const list = console.view.getByRole("combobox", { name: /^\d+ models?$/ });
  await list.selectOption({ label: "plain" });
  await console.button("Send").click();

  await sees(console.words, "Hello from the provider.");
});

visit("401 is shown with the server's words and the id of the request", { statuses: [401] }, async ({ console }) => {
  const key = await mint(shared.server);
  await revoke(shared.server, key);
  await assertRefused(console, { key }, "401", /revoked|not valid/);
});

visit("429 is shown with the server's words and the id of the request", { statuses: [429] }, async ({ console }) => {
  const key = await mint(shared.server, {
    requestQuotas: { perClientRequestLimits: ONCE, globalRequestLimits: PLENTY },
  });
  await console.ask("Hi", { model: "dummy", key });
  await sees(console.words, "Hi");
  await assertRefused(console, { key }, "429", /quota exceeded/i);
  await sees(console.alert, /try again in/);
});

visit("503 is shown with the server's words and the id of the request", { statuses: [503] }, async ({ console }) => {
  await assertRefused(console, { model: "dummy/error-503" }, "503", /dummy/i);
});

visit("a provider's error is shown, and the next call works", { statuses: [500] }, async ({ console }) => {
  const key = await mint(shared.server);
  await assertRefused(console, { model: model("error-500"), key }, "500", /made to fail with 500/);
  await console.ask("Hi", { model: "dummy" });
  await sees(console.words, "Hi");
  assert.equal(await console.alert.count(), 0);
});

visit("an answer that breaks off keeps its words and says so", async ({ console }) => {
  await console.ask("Hi", { model: model("cut"), key: await mint(shared.server) });

  await sees(console.alert, /broke|cut|ended/i);
  await sees(console.words, "Hello");
  assert.equal(await console.answer.getAttribute("aria-busy"), "false");
});

const GONE = { tolerated: /net::ERR_CONNECTION_REFUSED/ };
visit("a server that is gone is not shown as a refusal", GONE, async ({ page, console }) => {
  await page.route("**/v1/**", (route) => route.abort("connectionrefused"));
  await console.button("Send").click();

  await sees(console.alert, /could not be reached/);
});

async function assertRefused(console, { model = "dummy", key }, status, words) {
  await console.ask("Hi", { model, key });
  await sees(console.alert, status);
  await sees(console.alert, words);
  const [, id] = /request ([0-9a-f]{32})/.exec(await console.alert.innerText());
  await eventually(() =>
    assert.ok(
      shared.server.log.some((line) => line.includes(id)),
      `${id} is not in the log`,
    ),
  );
  assert.ok(await console.button("Send").isEnabled());
}
