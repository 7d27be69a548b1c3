// Text from models, providers, keys and servers is text: it makes no element, no request, no dialog and no fault.
import assert from "node:assert/strict";
import { visits } from "./support/browser.mjs";
import { SERVICE } from "./support/console.mjs";
import { HOSTILE, HOSTILE_NAME } from "./support/provider.mjs";
import { mint } from "./support/server.mjs";
import { sees } from "./support/wait.mjs";
import { world } from "./support/world.mjs";

const shared = await world();
const visit = visits(shared);
// Of markup the beginning is enough: the text after it may be shortened.
const MARKUP = `</textarea></title></script><x-hostile data-hostile onclick="alert(1)">`;

visit("what a model answers", async ({ page, console }) => {
  await console.ask("Hi", { model: `${SERVICE}/hostile`, key: await mint(shared.server) });
  await console.figure("Whole answer").waitFor();

  assert.equal(await console.words.textContent(), HOSTILE);
  await assertInert(page);
});

visit("what a provider says of an error", { statuses: [400] }, async ({ page, console }) => {
  await console.ask("Hi", { model: `${SERVICE}/hostile-error`, key: await mint(shared.server) });

  await sees(console.alert, MARKUP);
  await assertInert(page);
});

visit("the names of models", async ({ page, console }) => {
  const models = shared.provider.models;
  shared.provider.models = [HOSTILE, "plain"];
  await console.field("Key").fill(await mint(shared.server));
  await console.button("List models").click();
  const list = console.view.getByRole("combobox", { name: /^\d+ models?$/ });
  await list.waitFor();
  shared.provider.models = models;

  const [hostile] = await list.locator("option", { hasText: "x-hostile" }).allTextContents();
  assert.ok(hostile.startsWith(MARKUP), hostile);
  await assertInert(page);
});

visit("the name of a key, its restrictions, and its copy", async ({ page, console }) => {
  const restrict = { services: ["chat:dummy", `${SERVICE}/${HOSTILE_NAME.replaceAll(" ", "/")}`] };
  await console.inspect(await mint(shared.server, {}, { name: HOSTILE_NAME, restrict }));

  await sees(console.view.getByRole("heading", { name: HOSTILE_NAME }), HOSTILE_NAME);
  await assertInert(page);
  await console.part("Restrictions").click();
  await console.field("Name").fill(HOSTILE_NAME);
  await console.button("Narrow").click();
  await console.key.waitFor();
  for (const name of ["curl", "Python", "Node", "Claude Code"]) await console.snippet(name);
  await assertInert(page);
});

// What a server says that is not ours, or a proxy in between.
const REPLIES = {
  "an error with markup": {
    status: 400,
    contentType: "application/json",
    body: JSON.stringify({ error: { message: HOSTILE, code: HOSTILE } }),
  },
  "a page in place of an answer": {
    status: 502,
    contentType: "text/html",
    body: `<title>${HOSTILE}</title>${HOSTILE}`,
  },
  "JSON that is none": { status: 200, contentType: "application/json", body: `{"active": ${HOSTILE}` },
  "an error of a strange kind": {
    status: 500,
    contentType: "application/json",
    body: JSON.stringify({ error: [HOSTILE] }),
  },
  "values of strange kinds": {
    status: 200,
    contentType: "application/json",
    body: JSON.stringify({
      active: true,
      name: { a: HOSTILE },
      exp: HOSTILE,
      services: HOSTILE,
      restrict: HOSTILE,
      jti: [HOSTILE],
      aud: 7,
      limits: 7,
      ancestors: 3,
    }),
  },
  "a key that is markup": {
    status: 200,
    contentType: "application/json",
    body: JSON.stringify({
      active: true,
      exp: 1e10,
      access_token: HOSTILE,
      name: HOSTILE,
      services: [HOSTILE],
      restrict: [{ services: [HOSTILE] }],
      jti: HOSTILE,
      aud: HOSTILE,
      warnings: [HOSTILE],
      keyId: HOSTILE,
      expires_in: HOSTILE,
      limits: [
        { unit: HOSTILE, scope: "client", window: HOSTILE, limit: HOSTILE, remaining: HOSTILE, resetSeconds: HOSTILE },
      ],
    }),
  },
};
for (const [name, reply] of Object.entries(REPLIES)) {
  const statuses = reply.status >= 400 ? [reply.status] : [];
  visit(`a server that sends ${name}`, { statuses }, async ({ page, console }) => {
    await page.route(/\/(api\/)?v1\//, (route) =>
      route.fulfill({ ...reply, headers: { "x-request-id": HOSTILE.slice(0, 40) } }),
    );
    await console.button("Send").click();
    await console.alert.waitFor();
    await assertInert(page);
    await console.inspect("aisbreaker_key");
    await console.view.locator(":text('active'), [role=alert]").first().waitFor();
    await assertInert(page);
    await console.open("Mint");
    await console.view.getByRole("radio", { name: "The server mints it" }).check();
    await console.button("Mint key").click();
    await console.key.or(console.alert).waitFor();
    await assertInert(page);
  });
}

visit(
  "the address of the page",
  { at: `${shared.server.url}/console/?q=${encodeURIComponent(HOSTILE)}#${encodeURIComponent(HOSTILE)}` },
  async ({ page, console }) => {
    await page.getByRole("heading", { level: 1 }).waitFor();
    await assertInert(page);
    await console.open("Playground");
    await console.button("Send").click();
    await sees(console.words, "What is a gateway?");
  },
);

// Every element of the hostile texts is of a kind that the page has not, or is marked.
async function assertInert(page) {
  const made = page.locator(
    "x-hostile, [data-hostile], iframe, img, style, script:not([src]), object, embed, base, [href^='javascript:'], a[href*='hostile']",
  );
  assert.deepEqual(await made.evaluateAll((elements) => elements.map((element) => element.outerHTML)), []);
  const handlers = await page.evaluate(() =>
    [...document.querySelectorAll("*")]
      .flatMap(({ attributes }) => [...attributes].map(({ name }) => name))
      .filter((name) => name.startsWith("on")),
  );
  assert.deepEqual(handlers, []);
}
