// The live page on the metrics listener: figures of real traffic, and what it says when there is nobody to ask.
import assert from "node:assert/strict";
import { visits } from "./support/browser.mjs";
import { tile, traffic } from "./support/traffic.mjs";
import { sees } from "./support/wait.mjs";
import { world } from "./support/world.mjs";

const shared = await world();
const visit = visits(shared);
const at = `${shared.server.metrics}/console/`;

visit("traffic is shown while it comes", { at }, async ({ page }) => {
  await sees(page.getByRole("status"), "Live");
  await sees(tile(page, "Tokens"), /\s0\s|–/);
  await traffic(shared.server);

  // Four answers of 1500 tokens.
  await sees(tile(page, "Tokens"), /\s[1-9][\d.,]*\s+6,000 since the start/);
  // At 0.002 dollars each.
  await sees(tile(page, "Cost"), "$0.008 ");
  await sees(tile(page, "Requests"), /\s(0\.\d|[1-9])/);
  // One of eight, and two.
  await sees(tile(page, "Errors"), /\s0\.\d+\s+and 0?\.?\d+ refused/);
  await sees(tile(page, "Latency"), /\d m?s/);
  await sees(tile(page, "First byte"), /\d m?s/);
});

const LOST = { at, tolerated: /net::ERR_CONNECTION_REFUSED/ };
visit("a server that is gone is said to be, and found again", LOST, async ({ page }) => {
  await sees(page.getByRole("status"), "Live");
  await page.route("**/metrics", (route) => route.abort("connectionrefused"));
  await sees(page.getByRole("status"), "Lost connection");
  await page.unroute("**/metrics");
  await sees(page.getByRole("status"), "Live");
});

visit("metrics with strange names make no element", { at }, async ({ page }) => {
  const labels = 'route="<img data-hostile src=x onerror=alert(1)>",status="<b data-hostile>200</b>"';
  const body = `aisbreaker_build_info{version="1"} 1\naisbreaker_requests_total{${labels}} 5\n`;
  await page.route("**/metrics", (route) => route.fulfill({ body, contentType: "text/plain" }));
  await page.reload();
  await sees(tile(page, "Requests"), "5 since the start");
  await sees(page.getByRole("status"), "Live");
  assert.equal(await page.locator("[data-hostile]").count(), 0);
});
