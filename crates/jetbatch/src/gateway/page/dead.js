// Requests that were given up.
import { fill, h, say } from "./dom.js";
import { get, post, remove } from "./server.js";
import { may } from "./session.js";
import { count, moment } from "./text.js";
import { card, order } from "./widgets.js";

export async function dead(main) {
  const place = h("div", {});
  main.append(h("h1", {}, "Dead letters"), h("p", { class: "soft" }, "Requests that failed again and again where their neighbours did not. Each has its error line in its job's files."), place);
  let entries = [];
  const load = async (after) => {
    try {
      const page = await get(`/dead?limit=50${after ? `&after=${after}` : ""}`);
      entries = after ? [...entries, ...page.data] : page.data;
      draw(page.next);
    } catch (error) {
      fill(place, h("p", { class: "empty" }, error.message));
    }
  };

  function draw(next) {
    if (!entries.length) return fill(place, h("p", { class: "empty" }, "Nothing was given up."));
    const head = ["Entry", "When", "Pool", "Why", "Requests", ""].map((name) => h("th", { scope: "col" }, name));
    const table = h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, entries.map(row)));
    const more = next && h("button", { type: "button", onclick: () => load(next) }, "Older");
    fill(place, card(null, h("div", { class: "scroll" }, table), more));
  }

  function row(entry) {
    const details = h("div", {});
    const look = h("button", { type: "button", "aria-expanded": "false", onclick: () => toggle(entry, look, details) }, "Look");
    const act = (call, words, then) => async () => {
      try {
        const made = await call();
        say(words);
        then(made);
      } catch (error) {
        say(error.message, true);
      }
    };
    const replay = order("Replay", null, act(() => post(`/dead/${entry.id}/replay`), "It runs as a job of its own.", (made) => (location.hash = `#/jobs/${made.id}`)));
    const drop = order("Drop", "Drop it for good?", act(() => remove(`/dead/${entry.id}`), "It is gone.", () => load()), "bad");
    return h(
      "tr",
      {},
      h("td", {}, entry.id, details),
      h("td", {}, moment(Date.parse(entry.died_at))),
      h("td", {}, entry.pool),
      h("td", {}, entry.class, h("div", { class: "soft" }, entry.reason.slice(0, 200))),
      h("td", { class: "number" }, count(entry.requests)),
      h("td", {}, h("div", { class: "bar" }, look, may("submit") && [replay, drop], h("a", { href: `#/jobs/${entry.job}` }, "Its job"))),
    );
  }

  async function toggle(entry, button, details) {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) return fill(details);
    try {
      const whole = await get(`/dead/${entry.id}`);
      fill(details, h("pre", {}, JSON.stringify(whole, null, 2).slice(0, 20000)));
    } catch (error) {
      say(error.message, true);
    }
  }
  load();
}
