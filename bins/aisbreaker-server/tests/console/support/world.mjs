// What a file of tests shares: a provider, a server that calls it, and a browser.
import { after } from "node:test";
import { launch } from "./browser.mjs";
import { startProvider } from "./provider.mjs";
import { startServer } from "./server.mjs";

// Starts all three. The caller stops them.
export async function startWorld(settings) {
  const provider = await startProvider();
  const [server, browser] = await Promise.all([startServer(provider, settings), launch()]);
  const stop = async () => {
    await browser.close();
    server.stop();
    provider.stop();
  };
  return { provider, server, browser, stop };
}

// Starts all three, and stops them after the tests of the file that calls it.
export async function world(settings) {
  const shared = await startWorld(settings);
  after(shared.stop);
  return shared;
}
