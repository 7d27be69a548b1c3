// Takes a picture of every view and state, in three widths, light and dark, or of those with a text
// in their name: `run PATH_OF_THE_SERVER screenshots FOLDER [TEXT]`.
import { mkdir } from "node:fs/promises";
import { Visit } from "./support/browser.mjs";
import { addressOf, SCENES } from "./support/scenes.mjs";
import { startWorld } from "./support/world.mjs";

const [folder, only = ""] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
const world = await startWorld();

for (const [name, show] of Object.entries(SCENES).filter(([name]) => name.includes(only))) {
  const visit = await Visit.open(world.browser, addressOf(world.server, name));
  await show(visit, world);
  for (const width of [320, 768, 1280]) {
    await visit.page.setViewportSize({ width, height: 900 });
    for (const colorScheme of ["light", "dark"]) {
      await visit.page.emulateMedia({ colorScheme });
      await visit.page.screenshot({
        path: `${folder}/${name.replaceAll(" ", "-")}.${width}.${colorScheme}.png`,
        fullPage: true,
      });
    }
  }
  await visit.context.close();
}
await world.stop();
