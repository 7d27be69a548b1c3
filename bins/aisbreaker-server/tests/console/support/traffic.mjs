// Traffic for the live page of the metrics listener, and where it is seen there.
import { SERVICE } from "./console.mjs";
import { mint } from "./server.mjs";

// Calls that are answered, refused and failed: 4, 2 and 1.
export async function traffic(server) {
  const key = await mint(server, { budgets: { global: { usdPerDay: "1" } } });
  const models = ["plain", "plain", "plain", "plain", "error-400", "error-400", "error-500"];
  for (const name of models) {
    const body = JSON.stringify({ model: `${SERVICE}/${name}`, messages: [{ role: "user", content: "Hi" }] });
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    await (await fetch(`${server.url}/v1/chat/completions`, { method: "POST", headers, body })).text();
  }
}

// A figure of the live page, by the beginning of its title.
export const tile = (page, title) =>
  page.locator("dl > div", { has: page.locator("dt", { hasText: new RegExp(`^${title}`) }) });
