// The console as its user knows it: by roles and names. Tests find, type and click through here.
import { PROVIDER } from "./provider.mjs";

export const SERVICE = `chat:${PROVIDER}`;

export class Console {
  constructor(page) {
    this.page = page;
    this.view = page.locator("main > section:visible");
    this.alert = this.view.getByRole("alert");
    this.forget = page.getByRole("banner").getByRole("button", { name: "Forget" });
  }

  // Goes to a view by its link.
  async open(view) {
    await this.page.getByRole("navigation").getByRole("link", { name: view, exact: true }).click();
    await this.shows(view);
  }
  // Waits until this is the view. What is looked for before may be found in the one that is left.
  shows = (view) => this.page.locator("nav [aria-current]", { hasText: view }).waitFor();
  button = (name, within = this.view) => within.getByRole("button", { name, exact: true });
  // A label says whether its field may be left out.
  field = (name, within = this.view) => within.getByLabel(new RegExp(`^${name}( optional)?$`, "i"));
  part = (title) => this.view.locator("summary", { hasText: title });

  // The playground.
  get answer() {
    return this.view.getByRole("article", { name: "Answer" });
  }
  get words() {
    return this.answer.locator(".output");
  }
  figure = (name) => this.view.getByRole("group", { name: "Figures" }).locator("div", { hasText: name }).locator("dd");

  async ask(message, { model, key } = {}) {
    await this.shows("Playground");
    if (key !== undefined) await this.field("Key").fill(key);
    if (model !== undefined) await this.field("Model").fill(model);
    await this.field("Message").fill(message);
    await this.button("Send").click();
  }

  // Minting.
  service = (number) => this.view.getByRole("group", { name: `Service ${number}`, exact: true });
  get key() {
    return this.view.getByRole("textbox", { name: "Your key" });
  }
  // The fields of the quotas or budgets of a scope, in the order of the page.
  limits = (title, scope) =>
    this.view
      .locator("details", { has: this.page.locator("summary", { hasText: title }) })
      .getByRole("group", { name: scope })
      .getByRole("textbox");
  // Opens a snippet, and returns it.
  async snippet(name) {
    const snippet = this.view.getByRole("region", { name: `${name} snippet` });
    if (!(await snippet.isVisible())) await this.view.locator("summary", { hasText: new RegExp(`^${name}$`) }).click();
    return snippet;
  }

  async fillService(number, service, secret) {
    await this.field("Service", this.service(number)).fill(service);
    await this.field("Secret", this.service(number)).fill(secret);
  }

  // Mints with what is filled in, and returns the key.
  async mint() {
    await this.button("Mint key").click();
    await this.key.waitFor();
    return this.key.inputValue();
  }

  // Inspecting.
  async inspect(key) {
    await this.open("Inspect");
    await this.field("Key").fill(key);
    // The first of two, where a narrower key has been made.
    await this.button("Inspect").first().click();
  }
}
