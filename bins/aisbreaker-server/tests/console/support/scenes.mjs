// Every view of the console in each of its states, for tests of how it looks and is read, and for pictures.
import { SERVICE } from "./console.mjs";
import { HOSTILE_NAME } from "./provider.mjs";
import { mint, revoke } from "./server.mjs";
import { tile, traffic } from "./traffic.mjs";
import { sees } from "./wait.mjs";

const perMinute = (count) => ({ requestsPerMinute: count, requestsPerHour: 600, requestsPerDay: 6000 });
const QUOTAS = { perClientRequestLimits: perMinute(3), globalRequestLimits: perMinute(1) };
const model = (name) => `${SERVICE}/${name}`;

// Holds every call of these paths until the page is closed.
const hold = (page, paths) => page.route(paths, () => new Promise(() => {}));

// By name, which begins with the view. Each is given a console that was just opened there, and what the tests share.
export const SCENES = {
  "playground empty": async () => {},
  "playground loading": async ({ page, console }) => {
    await hold(page, "**/v1/**");
    await console.button("Send").click();
    await console.button("Stop").waitFor();
  },
  "playground streaming": async ({ console }, { server, provider }) => {
    provider.hold();
    await console.ask("What is a gateway?", { model: model("held"), key: await mint(server) });
    await sees(console.words, "Hello");
  },
  "playground success": async ({ console }, { server }) => {
    const key = await mint(server, { budgets: { global: { usdPerDay: "1" } } });
    await console.ask("What is a gateway?", { model: model("plain"), key });
    await console.figure("Cost").waitFor();
  },
  "playground success long": async ({ console }) => {
    const word = "Donaudampfschifffahrtsgesellschaftskapitän".repeat(8);
    await console.ask(`${"Every word of this comes back. ".repeat(60)}\n\n${word}\n\n    indented text`, {
      model: "dummy/echo",
    });
    await console.figure("Whole answer").waitFor();
  },
  "playground stopped": async ({ console }, { server }) => {
    await console.ask("Hi", { model: model("endless"), key: await mint(server) });
    await sees(console.words, "again again again");
    await console.button("Stop").click();
    await console.figure("Whole answer").waitFor();
  },
  "playground error 401": async ({ console }, { server }) => {
    const key = await mint(server);
    await revoke(server, key);
    await console.ask("Hi", { key });
    await console.alert.waitFor();
  },
  "playground error 429": async ({ console }) => {
    await console.ask("Hi", { model: "dummy/error-429" });
    await console.alert.waitFor();
  },
  "playground error 503": async ({ console }) => {
    await console.ask("Hi", { model: "dummy/error-503" });
    await console.alert.waitFor();
  },
  "playground error cut": async ({ console }, { server }) => {
    await console.ask("Hi", { model: model("cut"), key: await mint(server) });
    await console.alert.waitFor();
  },
  "playground models": async ({ console }, { server }) => {
    await console.field("Key").fill(await mint(server));
    await console.button("List models").click();
    await console.view.getByRole("combobox").waitFor();
  },

  "mint empty": async () => {},
  "mint everything open": async ({ console }) => {
    await console.fillService(1, SERVICE, "sk-secret");
    await console.button("Add service").click();
    await console.view.locator("details").evaluateAll((all) => all.forEach((one) => (one.open = true)));
  },
  "mint error in fields": async ({ console }) => {
    await console.part("Quotas").click();
    await console.limits("Quotas", "Each client").first().fill("many");
    await console.button("Mint key").click();
    await console.view.locator("[aria-invalid=true]").first().waitFor();
  },
  "mint loading": async ({ page, console }) => {
    await hold(page, "**/{jwks.json,oauth/**}");
    await console.button("Mint key").click();
  },
  "mint error": async ({ console }) => {
    await console.view.getByRole("radio", { name: "The server mints it" }).check();
    await console.part("Restrictions").click();
    await console.field("Client addresses").fill("not an address");
    await console.button("Mint key").click();
    await console.alert.waitFor();
  },
  "mint success": async ({ console }) => {
    await console.fillService(1, SERVICE, "sk-secret");
    await console.field("Name").fill("reporting job");
    await console.mint();
  },
  "mint success by the server": async ({ console }) => {
    await console.view.getByRole("radio", { name: "The server mints it" }).check();
    await console.fillService(1, "chat:openai.example", "sk-secret");
    await console.mint();
    await console.snippet("Python");
  },

  "inspect empty": async () => {},
  "inspect loading": async ({ page, console }) => {
    await hold(page, "**/oauth/**");
    await console.inspect("aisbreaker_key");
  },
  "inspect error": async ({ page, console }) => {
    const [status, body] = [
      503,
      JSON.stringify({ error: { message: "the quota store cannot be reached (request 7fdb)" } }),
    ];
    await page.route("**/oauth/**", (route) => route.fulfill({ status, body, headers: { "x-request-id": "7fdb" } }));
    await console.inspect("aisbreaker_key");
    await console.alert.waitFor();
  },
  "inspect not active": async ({ console }) => {
    await console.inspect("aisbreaker_key");
    await sees(console.view, "not active");
  },
  "inspect success": async ({ console }, { server }) => {
    const restrict = {
      services: ["chat:dummy", SERVICE, "chat:openai.com/gpt-4.1-mini"],
      operations: ["chat/completions", "process"],
      clients: ["127.0.0.0/8"],
      maxBodyBytes: 65536,
    };
    const budgets = {
      perClient: { tokensPerMinute: 30000, usdPerDay: "2.50" },
      global: { tokensPerDay: 5000000, usdPerDay: "20", usdTotal: "40" },
    };
    const key = await mint(
      server,
      { requestQuotas: QUOTAS, budgets },
      { name: "reporting job", expirationTimeSpan: "90d", restrict },
    );
    await console.open("Playground");
    await console.ask("Hi", { model: "dummy", key });
    await sees(console.words, "Hi");
    await console.inspect(key);
    await console.view.getByRole("meter").first().waitFor();
  },
  "inspect success small": async ({ console }, { server }) => {
    await console.inspect(await mint(server, {}, { name: HOSTILE_NAME, expirationTimeSpan: "90s" }));
    await console.view.getByRole("meter").first().waitFor();
  },
  "inspect narrowed": async ({ console }, { server }) => {
    await console.inspect(await mint(server, { requestQuotas: QUOTAS }, { name: "above" }));
    await console.field("Name").fill("for ana");
    await console.button("Narrow").click();
    await console.key.waitFor();
  },
  "inspect revoking": async ({ console }, { server }) => {
    await console.inspect(await mint(server));
    await console.button("Revoke").click();
    await console.button("Keep it").waitFor();
  },
  "inspect revoked": async ({ console }, { server }) => {
    await console.inspect(await mint(server));
    await console.button("Revoke").click();
    await console.button("Revoke for good").click();
    await sees(console.view, "Revoked");
  },

  "live loading": async ({ page }) => {
    await page.route("**/metrics", () => new Promise(() => {}));
    await page.reload();
  },
  "live without traffic": async ({ page }) => {
    await sees(page.getByRole("status"), "Live");
  },
  "live with traffic": async ({ page }, { server }) => {
    await sees(page.getByRole("status"), "Live");
    await traffic(server);
    await sees(tile(page, "Tokens"), /\s[1-9]/);
  },
  "live lost": async ({ page }) => {
    await sees(page.getByRole("status"), "Live");
    await page.route("**/metrics", (route) => route.abort("connectionrefused"));
    await sees(page.getByRole("status"), "Lost connection");
  },
};

// Where a scene is shown.
export function addressOf(server, name) {
  const [view] = name.split(" ");
  return view === "live" ? `${server.metrics}/console/` : `${server.url}/console/#${view}`;
}
