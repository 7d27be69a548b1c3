// The server under test: a process of its own, on ports that the system chooses.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PRICE, PROVIDER } from "./provider.mjs";
import { startProxy } from "./proxy.mjs";

const PROGRAM = process.env.CONSOLE_SERVER;
const OPERATOR_SECRET = "secret of the operator";
const PLENTY = { requestsPerMinute: 1e6, requestsPerHour: 1e6, requestsPerDay: 1e6 };
const QUOTAS = JSON.stringify({ perClientRequestLimits: PLENTY, globalRequestLimits: PLENTY });

// Starts the server, with more settings as environment variables. `url` is that of the public listener and
// `metrics` that of the other one; both without a slash at the end.
export async function startServer(provider, settings = {}) {
  const folder = mkdtempSync(join(tmpdir(), "console-"));
  writeFileSync(join(folder, "settings.toml"), configuration(provider));
  const environment = {
    AISBREAKER_ADMIN_SECRET: OPERATOR_SECRET,
    AISBREAKER_CONFIG: join(folder, "settings.toml"),
    AISBREAKER_CONSOLE: "on",
    AISBREAKER_LOG_FORMAT: "json",
    AISBREAKER_METRICS_LISTEN: "127.0.0.1:0",
    AISBREAKER_VOLATILE_BUDGETS: "true",
    AISBREAKER_SERVER_QUOTAS: QUOTAS,
    AISBREAKER_DEFAULT_QUOTAS: QUOTAS,
    AISBREAKER_MINT_QUOTAS: QUOTAS,
    AUTH_ENCRYPTION_KEYPHRASE: execFileSync(PROGRAM, ["keygen"], { encoding: "utf8" }).trim(),
    ...settings,
  };
  const child = spawn(PROGRAM, ["--listen", "127.0.0.1:0"], { env: environment, stdio: ["ignore", "ignore", "pipe"] });
  const end = () => child.kill("SIGKILL");
  process.once("exit", end);
  const log = [];
  const addresses = await new Promise((resolve, reject) => {
    const found = {};
    createInterface(child.stderr).on("line", (line) => {
      log.push(line);
      const [, address] = /"address":"([^"]*)"/.exec(line) ?? [];
      if (!address) return;
      found[line.includes("metrics at") ? "metrics" : "url"] = `http://${address}`;
      if (found.url && found.metrics) resolve(found);
    });
    child.on("exit", () => reject(new Error(`the server did not start:\n${log.join("\n")}`)));
  });
  const server = { ...addresses, log };
  // The files of a folder in place of those in the program: a change to the page is tried without a build.
  const fronts = [];
  if (process.env.CONSOLE_FILES) {
    for (const [name, index] of [
      ["url", "index.html"],
      ["metrics", "live.html"],
    ]) {
      const front = await startProxy(server[name], { files: { folder: process.env.CONSOLE_FILES, index } });
      server[name] = front.url;
      fronts.push(front);
    }
  }
  server.stop = () => {
    fronts.forEach((front) => front.stop());
    child.removeAllListeners("exit");
    end();
    rmSync(folder, { recursive: true });
  };
  return server;
}

function configuration(provider) {
  return `egress.allow = ["${provider.url}"]
[[provider]]
id = "${PROVIDER}"
url = "${provider.url}"
openai = "/v1"
auth = "bearer"
secret = "required"
usage = "openai"
[[provider]]
id = "anthropic.com"
url = "${provider.url}"
anthropic = "/v1"
auth = "x-api-key"
secret = "required"
usage = "anthropic"
[prices."${PROVIDER}"]
"*" = { input = ${PRICE.input}, output = ${PRICE.output}, max_output = 1000, context = 100000 }
`;
}

// Mints a key at the API, for the local provider. `grant` is what else goes into `requestAuthAndQuotas`, and `more` what
// stands beside it.
export async function mint(server, grant = {}, more = {}) {
  const serviceSecrets = [{ serviceId: `chat:${PROVIDER}`, authSecret: "sk-of-the-provider" }];
  const body = { requestAuthAndQuotas: { serviceSecrets, ...grant }, ...more };
  const response = await fetch(`${server.url}/api/v1/oauth/token`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const minted = await response.json();
  if (!minted.access_token) throw new Error(`not minted: ${JSON.stringify(minted)}`);
  return minted.access_token;
}

export async function revoke(server, key) {
  const body = new URLSearchParams({ token: key });
  const response = await fetch(`${server.url}/api/v1/oauth/revoke`, { method: "POST", body });
  if (!response.ok) throw new Error(`not revoked: ${response.status}`);
}

// Returns what the server says of a key to its operator, whom no restriction of the key concerns.
export async function introspect(server, key) {
  const body = new URLSearchParams({ token: key });
  const headers = { authorization: `Basic ${btoa(`operator:${OPERATOR_SECRET}`)}` };
  return (await fetch(`${server.url}/api/v1/oauth/introspect`, { method: "POST", headers, body })).json();
}
