// Chromium, and visits of the console in it that fail for whatever a page must never do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { Console } from "./console.mjs";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // No name is looked up, and one leads here: a page from it is not in a secure context.
  "--host-resolver-rules=MAP console.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
];

export const launch = () =>
  chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ARGUMENTS,
    // Back may bring a page back as it was, as it does in everybody's browser.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });

// What the console keeps nowhere.
const KEPT = `(async () => ({
  local: { ...localStorage },
  session: { ...sessionStorage },
  cookie: document.cookie,
  databases: await indexedDB.databases(),
  caches: globalThis.caches ? await caches.keys() : [],
  workers: navigator.serviceWorker ? (await navigator.serviceWorker.getRegistrations()).length : 0,
  name: window.name,
  state: history.state,
}))()`;
const NOTHING_KEPT = {
  local: {},
  session: {},
  cookie: "",
  databases: [],
  caches: [],
  workers: 0,
  name: "",
  state: null,
};

// A tab with the console in it. `faults` collects what the page must not do, `refused` the statuses that it was answered.
export class Visit {
  static async open(browser, address, { init, ...options } = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    const visit = new Visit(context, page, new URL(address).origin);
    visit.devtools = await context.newCDPSession(page);
    context.setDefaultTimeout(10_000);
    await context.addInitScript(() =>
      document.addEventListener("securitypolicyviolation", (event) =>
        console.error("security policy:", event.violatedDirective, event.blockedURI, event.sample),
      ),
    );
    if (init) await context.addInitScript(init);
    await page.goto(address);
    return visit;
  }

  constructor(context, page, origin) {
    Object.assign(this, {
      context,
      page,
      origin,
      console: new Console(page),
      faults: [],
      refused: [],
      requests: [],
      secrets: [],
    });
    context.on("request", (request) => {
      this.requests.push(request.url());
      if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith("data:")) {
        this.faults.push(`a request to ${request.url()}`);
      }
    });
    context.on("response", (response) => {
      if (response.status() >= 400) this.refused.push(response.status());
    });
    context.on("page", (other) => this.faults.push(`another page: ${other.url()}`));
    page.on("websocket", (socket) => this.faults.push(`a WebSocket to ${socket.url()}`));
    page.on("worker", (worker) => this.faults.push(`a worker: ${worker.url()}`));
    page.on("download", (download) => this.faults.push(`a download of ${download.url()}`));
    page.on("pageerror", (error) => this.faults.push(`an exception: ${error.stack}`));
    page.on("dialog", (dialog) => {
      this.faults.push(`a dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("console", (message) => {
      // Chromium reports every answer from 400 on. Which of them there may be, `refused` is for.
      if (message.text().startsWith("Failed to load resource: the server responded with a status of")) return;
      if (["error", "warning"].includes(message.type())) this.faults.push(`on the console: ${message.text()}`);
    });
  }

  async assertClean(statuses = [], tolerated) {
    assert.deepEqual(
      this.faults.filter((fault) => !tolerated?.test(fault)),
      [],
    );
    assert.deepEqual([...new Set(this.refused)].sort(), [...statuses].sort(), "the statuses of refused requests");
    assert.deepEqual(await this.page.evaluate(KEPT), NOTHING_KEPT);
    assert.deepEqual(await this.context.cookies(), []);
    const { entries } = await this.devtools.send("Page.getNavigationHistory");
    const addresses = JSON.stringify([entries, this.requests]);
    for (const secret of ["aisbreaker_", "sk-", ...this.secrets]) {
      assert.ok(!addresses.includes(secret), `${secret} is in an address: ${addresses}`);
    }
  }
}

// Returns a function that declares tests, each of which visits the console in a context of its own. `statuses` are those
// of refusals that the test provokes, and `tolerated` matches what Chromium itself says of a fault that it provokes.
export function visits(shared) {
  return (name, options, body = options) =>
    test(name, async () => {
      const { at = `${shared.server.url}/console/`, statuses, tolerated, ...more } = body === options ? {} : options;
      const visit = await Visit.open(shared.browser, at, more);
      try {
        await body(visit);
        await visit.assertClean(statuses, tolerated);
      } finally {
        await visit.context.close();
      }
    });
}
