// Making a key: sealed in the browser, or minted by the server where that cannot be.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { promisify } from "node:util";
import { visits } from "./support/browser.mjs";
import { SERVICE } from "./support/console.mjs";
import { introspect, startServer } from "./support/server.mjs";
import { startProxy } from "./support/proxy.mjs";
import { sees } from "./support/wait.mjs";
import { world } from "./support/world.mjs";

const SECRET = "sk-typed-into-the-console";
const shared = await world();
const visit = visits(shared);
const proxy = await startProxy(shared.server.url);
after(proxy.stop);
const throughProxy = { at: `${proxy.url}/console/#mint` };
const model = `${SERVICE}/plain`;

visit("a secret is sealed in the browser and never sent", throughProxy, async ({ page, console }) => {
  const { key } = await mintWithSecret(console);
  await sees(console.view, "Sealed in this browser");
  await assertWorks(console, key);

  assert.equal(mintings().length, 0);
  assertNeverSent(SECRET);
});

// A Chromium that does not know the curve, as browsers were until 2025.
function withoutX25519() {
  const { subtle } = crypto;
  const generateKey = subtle.generateKey.bind(subtle);
  subtle.generateKey = (algorithm, ...rest) =>
    (algorithm.name ?? algorithm) === "X25519"
      ? Promise.reject(new DOMException("Unrecognized name.", "NotSupportedError"))
      : generateKey(algorithm, ...rest);
}
visit(
  "without X25519 the server mints, and the page says so",
  { ...throughProxy, init: withoutX25519 },
  async ({ console }) => {
    await sees(console.view, "X25519");
    const { key } = await mintWithSecret(console);
    await sees(console.view, "Minted by the server");
    await assertWorks(console, key);

    // Shows as well that the record would have the secret of the test above.
    const [minting] = mintings();
    assert.equal(JSON.parse(minting.body).requestAuthAndQuotas.serviceSecrets[0].authSecret, SECRET);
  },
);

// Chromium says itself that a policy of the page is for secure contexts only.
const insecure = {
  tolerated: /Cross-Origin-Opener-Policy header has been ignored/,
  at: `${shared.server.url.replace("127.0.0.1", "console.test")}/console/#mint`,
};
visit("where the browser has no cryptography the server mints", insecure, async ({ page, console }) => {
  assert.equal(await page.evaluate(() => isSecureContext), false);
  const { key } = await mintWithSecret(console);
  await sees(console.view, "Minted by the server");
  await sees(console.view, "neither by https");

  // Nor may a page write to the clipboard there: its user does.
  await console.button("Copy key").click();
  await sees(console.view, "Press Ctrl+C");
  await page.keyboard.press("Control+C");
  await console.field("Name").focus();
  await page.keyboard.press("Control+V");
  assert.equal(await console.field("Name").inputValue(), key.slice(0, 64));
});

visit("every field goes into the key", throughProxy, async ({ console, ...visit }) => {
  for (const way of ["This browser seals it", "The server mints it"]) {
    await visit.page.reload();
    await fillEverything(console);
    await console.view.getByRole("radio", { name: way }).check();
    const key = await console.mint();
    assert.deepEqual(await whatIsIn(key), EVERYTHING, way);
  }
});

visit(
  "the new key can be copied",
  { ...throughProxy, permissions: ["clipboard-read", "clipboard-write"] },
  async ({ page, console }) => {
    const key = await console.mint();
    await console.button("Copy key").click();
    await sees(console.view, "Copied");

    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), key);
  },
);

// Each snippet as a user runs it, with the programs that the SDKs are tested with.
const PROGRAMS = {
  curl: (text) => ["sh", ["-c", text]],
  Python: (text) => ["python3", ["-c", text]],
  Node: async (text) => {
    const path = join(process.env.CONSOLE_SNIPPETS, "snippet.mjs");
    await writeFile(path, text);
    return ["node", [path]];
  },
};
visit("the snippets run as they are", throughProxy, async ({ console }) => {
  await console.mint();
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const text = await (await console.snippet(name)).textContent();
    assert.ok(text.includes(new URL(proxy.url).host), text);
    const { stdout } = await promisify(execFile)(...(await program(text)), { env: { PATH: process.env.PATH } });
    // The dummy repeats the question. With curl, its words come in events.
    assert.match(name === "curl" ? wordsOf(stdout) : stdout, /What is a gateway\?/, name);
  }
});

visit("the snippets for a model of Anthropic run as they are", throughProxy, async ({ console }) => {
  await console.fillService(1, "chat:anthropic.com", SECRET);
  await console.mint();
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const text = await (await console.snippet(name)).textContent();
    const { stdout } = await promisify(execFile)(...(await program(text)), { env: { PATH: process.env.PATH } });
    assert.match(name === "curl" ? wordsOf(stdout) : stdout, /Hello from the provider\./, name);
    assert.equal(shared.provider.calls.at(-1).path, "/v1/messages", name);
  }
});

visit("a model whose name is a command is one word in the snippets", throughProxy, async ({ console }) => {
  const name = `a'b"$(touch\${IFS}injected)\`touch\${IFS}injected\`\\;touch\${IFS}injected;'`;
  await console.fillService(1, `${SERVICE}/${name}`, SECRET);
  await console.mint();
  const folder = await mkdtemp(join(tmpdir(), "injected-"));
  for (const [language, program] of Object.entries(PROGRAMS)) {
    const text = await (await console.snippet(language)).textContent();
    await promisify(execFile)(...(await program(text)), { env: { PATH: process.env.PATH }, cwd: folder });
    assert.equal(JSON.parse(shared.provider.calls.at(-1).body).model, name, language);
  }
  const text = await (await console.snippet("Claude Code")).textContent();
  await promisify(execFile)("sh", ["-c", `claude() { :; }\n${text}`], { env: { PATH: process.env.PATH }, cwd: folder });
  assert.deepEqual(await readdir(folder), []);
});

visit("the snippet for Claude Code has this server and the key", throughProxy, async ({ console }) => {
  const key = await console.mint();
  const text = await (await console.snippet("Claude Code")).textContent();
  const { stdout } = await promisify(execFile)("sh", ["-c", `claude() { :; }\n${text}\nenv`], {
    env: { PATH: process.env.PATH },
  });

  const variables = stdout.split("\n");
  assert.ok(variables.includes(`ANTHROPIC_BASE_URL=${proxy.url}`), stdout);
  assert.ok(variables.includes(`ANTHROPIC_AUTH_TOKEN=${key}`), stdout);
});

visit("mistakes are said where they are, before anything is sent", throughProxy, async ({ console }) => {
  const rows = [
    ["Service", "openai", console.field("Service", console.service(1))],
    ["Lifetime", "for ever", console.field("Lifetime")],
  ];
  const sent = proxy.recorded.length;
  for (const [name, text, field] of rows) {
    await field.fill(text);
    await console.button("Mint key").click();
    assert.equal(await field.getAttribute("aria-invalid"), "true", name);
    assert.ok((await described(field)).length > 0, name);
    assert.ok(await field.evaluate((element) => element === document.activeElement), `${name} has the focus`);
    await field.fill("");
    assert.equal(await field.getAttribute("aria-invalid"), null, name);
  }
  assert.deepEqual(proxy.recorded.slice(sent), []);
});

visit("what the server refuses to mint is shown", { ...throughProxy, statuses: [400] }, async ({ console }) => {
  await console.view.getByRole("radio", { name: "The server mints it" }).check();
  await console.part("Restrictions").click();
  await console.field("Client addresses").fill("not an address");
  await console.button("Mint key").click();

  await sees(console.alert, "400");
  await sees(console.alert, /request [0-9a-f]{32}/);
  await sees(console.alert, "restrict.clients[0]");
});

// A server whose operator lets only those mint who know a secret.
const guarded = await startServer(shared.provider, { AISBREAKER_MINT_SECRET: "who-may-mint" });
after(guarded.stop);
// Of a sealed key the server says that it is not active, which is an answer.
for (const [way, statuses] of [
  ["This browser seals it", []],
  ["The server mints it", [401]],
]) {
  const options = { at: `${guarded.url}/console/#mint`, statuses };
  visit(`where minting takes a secret: ${way.toLowerCase()}`, options, async ({ console }) => {
    await console.view.getByRole("radio", { name: way }).check();
    await console.button("Mint key").click();
    await console.alert.waitFor();
    await console.part("More").click();
    await console.field("Minting secret").fill("who-may-mint");
    const key = await console.mint();
    assert.equal((await introspect(guarded, key)).active, true);
    assert.equal(await console.alert.count(), 0);
  });
}

async function mintWithSecret(console) {
  await console.fillService(1, SERVICE, SECRET);
  proxy.recorded.length = 0;
  return { key: await console.mint() };
}

// Asks a model of the key. The provider is sent the secret that was typed.
async function assertWorks(console, key) {
  shared.provider.calls.length = 0;
  await console.button("Use in playground").click();
  await console.ask("Hi", { model });
  await sees(console.words, "Hello from the provider.");
  assert.equal(await console.field("Key").inputValue(), key);
  assert.equal(shared.provider.calls.at(-1).authorization, `Bearer ${SECRET}`);
}

const mintings = () => proxy.recorded.filter(({ path }) => path.endsWith("/oauth/token"));

// Not as it is, and not encoded in any way that a browser has.
function assertNeverSent(secret) {
  const encodings = [secret, encodeURIComponent(secret), Buffer.from(secret).toString("hex")];
  for (const shift of [0, 1, 2]) {
    // Without the first and last characters, which depend on what is beside the secret.
    encodings.push(
      Buffer.from("_".repeat(shift) + secret)
        .toString("base64")
        .slice(shift && 4, -4),
    );
  }
  const sent = proxy.recorded.map(({ head, body }) => `${head}\n${body}`).join("\n");
  assert.ok(sent.includes("/api/v1/oauth/introspect"), "the record has what was sent");
  for (const encoding of encodings) assert.ok(!sent.includes(encoding), `${encoding} was sent`);
}

const described = (field) =>
  field.evaluate((element) =>
    element
      .getAttribute("aria-describedby")
      .split(" ")
      .map((id) => document.getElementById(id).textContent)
      .join(" ")
      .trim(),
  );

function wordsOf(stream) {
  const events = stream.split("\n").filter((line) => line.startsWith("data: {"));
  const words = events
    .map((line) => JSON.parse(line.slice(6)))
    .map(({ choices, delta }) => choices?.[0]?.delta.content ?? delta?.text);
  return words.filter(Boolean).join("");
}

const EVERYTHING = {
  name: "reporting job",
  lifetime: 90 * 86400,
  services: [SERVICE, "chat:dummy"],
  restrict: [
    {
      services: ["chat:dummy", model],
      operations: ["chat/completions", "process"],
      clients: ["127.0.0.0/8"],
      origins: ["https://app.example.com"],
      maxBodyBytes: 65536,
    },
  ],
  requestQuotas: {
    perClientRequestLimits: { requestsPerMinute: 1, requestsPerHour: 2, requestsPerDay: 3 },
    globalRequestLimits: { requestsPerMinute: 4, requestsPerHour: 5, requestsPerDay: 6 },
  },
  budgets: {
    perClient: { tokensPerMinute: 11, tokensPerHour: 12, tokensPerDay: 13, usdPerDay: "1.5" },
    global: {
      tokensPerMinute: 21,
      tokensPerHour: 22,
      tokensPerDay: 23,
      usdPerDay: "2.5",
      usdPerMonth: "30",
      usdTotal: "40.000000001",
    },
  },
};

async function fillEverything(console) {
  await console.fillService(1, SERVICE, SECRET);
  await console.button("Add service").click();
  await console.field("Service", console.service(2)).fill("chat:dummy");
  await console.field("Name").fill(EVERYTHING.name);
  await console.field("Lifetime").fill("90d");
  for (const title of ["Quotas", "Budgets", "Restrictions"]) await console.part(title).click();
  const limits = {
    Quotas: { "Each client": [1, 2, 3], "All clients": [4, 5, 6] },
    Budgets: { "Each client": [11, 12, 13, "1.50"], "All clients": [21, 22, 23, "2.5", "30", "40.000000001"] },
  };
  for (const [title, scopes] of Object.entries(limits)) {
    for (const [scope, values] of Object.entries(scopes)) {
      for (const [at, value] of values.entries()) await console.limits(title, scope).nth(at).fill(String(value));
    }
  }
  const [{ services, operations, clients, origins, maxBodyBytes }] = EVERYTHING.restrict;
  const lists = {
    "Services and models": services,
    Operations: operations,
    "Client addresses": clients,
    "Web origins": origins,
  };
  for (const [name, list] of Object.entries(lists)) await console.field(name).fill(list.join("\n"));
  await console.field("Largest request body").fill(String(maxBodyBytes));
}

// What the server finds in a key, in the terms of `EVERYTHING`.
async function whatIsIn(key) {
  const { name, iat, exp, services, restrict, requestQuotas, budgets } = await introspect(shared.server, key);
  return { name, lifetime: exp - iat, services, restrict, requestQuotas, budgets };
}
