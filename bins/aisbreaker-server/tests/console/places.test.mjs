// Where the console is shown: below a path prefix, but never in a frame.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, test } from "node:test";
import { Visit, visits } from "./support/browser.mjs";
import { SERVICE } from "./support/console.mjs";
import { startProxy } from "./support/proxy.mjs";
import { sees } from "./support/wait.mjs";
import { world } from "./support/world.mjs";

const PREFIX = "/gateway/of/the/team";
const shared = await world();
const visit = visits(shared);
const proxy = await startProxy(shared.server.url, { prefix: PREFIX });
after(proxy.stop);

visit("everything works below a path prefix", { at: `${proxy.url}/console/` }, async ({ console }) => {
  await console.button("Send").click();
  await sees(console.words, "What is a gateway?");
  await console.open("Mint");
  await console.fillService(1, SERVICE, "sk-of-the-provider");
  const key = await console.mint();
  await sees(await console.snippet("curl"), `${proxy.url}/v1/chat/completions`);
  await console.button("Use in playground").click();
  await console.ask("Hi", { model: `${SERVICE}/plain` });
  await sees(console.words, "Hello from the provider.");
  await console.inspect(key);
  await sees(console.view, "Active");

  assert.deepEqual(proxy.outside, []);
  assert.ok(proxy.recorded.length > 5);
});

visit("the start page leads to the console", { at: `${shared.server.url}/` }, async ({ page }) => {
  await page.getByRole("link", { name: /console/i }).click();
  await page.getByRole("heading", { level: 1, name: /console/ }).waitFor();
});

visit(
  "a view has an address, which Back returns to",
  { at: `${shared.server.url}/console/#inspect` },
  async ({ page, console }) => {
    await page.getByRole("heading", { level: 2, name: "Inspect a key" }).waitFor();
    await console.open("Mint");
    await page.getByRole("heading", { level: 2, name: "Mint a key" }).waitFor();
    await page.goBack();
    await page.getByRole("heading", { level: 2, name: "Inspect a key" }).waitFor();
  },
);

test("no page shows it in a frame, not even one of its own origin", async () => {
  const framing = http.createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end(
      `<iframe id=console src="${shared.server.url}/console/"></iframe><iframe id=ping src="${shared.server.url}/api/v1/ping"></iframe>`,
    );
  });
  await once(framing.listen(0, "127.0.0.1"), "listening");
  const visit = await Visit.open(shared.browser, `http://127.0.0.1:${framing.address().port}/`);

  // A frame that may be shown shows that the one that may not is refused for what it is.
  await sees(visit.page.frameLocator("#ping").locator("body"), "api-pong");
  assert.equal(await visit.page.frameLocator("#console").getByRole("heading").count(), 0);
  const refusal = visit.faults.find((fault) => /frame-ancestors/.test(fault));
  assert.ok(refusal, visit.faults.join("\n"));
  await visit.context.close();
  framing.close();
  framing.closeAllConnections();
});

test("no other origin may read it or open it with a handle to it", async () => {
  for (const [server, files] of [
    ["url", ["", "console.js", "console.css"]],
    ["metrics", ["", "live.js", "console.css"]],
  ]) {
    for (const file of files) {
      const { headers, status } = await fetch(`${shared.server[server]}/console/${file}`, {
        headers: { origin: "https://hostile.example" },
      });
      assert.equal(status, 200, file);
      assert.equal(headers.get("access-control-allow-origin"), null, file);
      assert.equal(headers.get("cross-origin-resource-policy"), "same-origin", file);
      assert.equal(headers.get("cross-origin-opener-policy"), "same-origin", file);
      assert.match(
        headers.get("content-security-policy"),
        /default-src 'none'.*frame-ancestors 'none'.*require-trusted-types-for 'script'/,
        file,
      );
    }
  }
});
