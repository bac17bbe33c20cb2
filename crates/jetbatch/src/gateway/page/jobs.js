// All jobs, live.
import { fill, h, say } from "./dom.js";
import { listen } from "./server.js";
import { many, rate, span, standing, state } from "./text.js";
import { progress, scale, tag } from "./widgets.js";

const STATES = ["", "validating", "in_progress", "paused", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"];

export function jobs(main, room) {
  const [rows, pages] = [new Map(), [null]];
  let [source, shownState, next] = [null, "", null];
  const select = h("select", { onchange: () => begin([null], select.value) }, STATES.map((word) => h("option", { value: word }, word ? state(word)[1] : "all")));
  const find = h("input", { type: "search", placeholder: "id, or key=value", spellcheck: "false" });
  const search = h("form", { role: "search", onsubmit: (event) => open(event, find.value) }, h("label", {}, "Find", find));
  const summary = h("p", { class: "soft", role: "status" });
  const body = h("tbody", {});
  const head = ["Job", "State", "Progress", "Rate", "Time", "Standing"].map((name) => h("th", { scope: "col" }, name));
  const table = h("table", { class: "jobs" }, h("thead", {}, h("tr", {}, head)), body);
  const empty = h("p", { class: "empty" }, "No jobs yet. ", h("a", { href: "#/submit" }, "Submit the first one"), ".");
  const back = h("button", { type: "button", onclick: () => begin(pages.slice(0, -1), shownState) }, "Newer");
  const on = h("button", { type: "button", onclick: () => begin([...pages, next], shownState) }, "Older");
  const turns = h("div", { class: "bar orders", hidden: true }, back, on);
  const place = h("div", { class: "scroll" });
  main.append(
    h("h1", {}, "Jobs"),
    h("div", { class: "bar" }, h("label", {}, "State", select), search, h("span", { class: "end" }, summary)),
    h("section", { class: "card", "aria-label": "Jobs" }, place, turns),
  );

  function begin(trail, word) {
    pages.splice(0, pages.length, ...trail);
    shownState = word;
    rows.clear();
    source?.close();
    const query = new URLSearchParams({ limit: 50 });
    if (word) query.set("state", word);
    const after = pages[pages.length - 1];
    if (after) query.set("after", after);
    source = listen(`/events?${query}`, { jobs: show }, room);
  }

  function show({ order, changed, has_more, total }) {
    for (const job of changed) {
      const row = rows.get(job.id) ?? h("tr", {});
      fill(row, ...cells(job));
      rows.set(job.id, row);
    }
    fill(body, order.map((id) => rows.get(id)).filter((row) => row));
    fill(place, order.length ? table : empty);
    next = order[order.length - 1];
    back.disabled = pages.length < 2;
    on.disabled = !has_more;
    turns.hidden = pages.length < 2 && !has_more;
    summary.textContent = many(total, "job");
  }

  function open(event, text) {
    event.preventDefault();
    const id = text.trim().replace(/^batch_/, "");
    const uuid = id.length === 32 ? id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5") : id;
    if (/^[0-9a-f-]{36}$/.test(uuid)) return (location.hash = `#/jobs/${uuid}`);
    const words = id.toLowerCase();
    let found = 0;
    for (const row of rows.values()) {
      const fits = row.textContent.toLowerCase().includes(words);
      row.hidden = !fits;
      found += fits;
    }
    say(words ? `${found} of the jobs on this page` : "All jobs of this page");
  }

  begin([null], "");
}

function cells(job) {
  const now = Date.now();
  const metadata = Object.entries(job.metadata).map(([key, value]) => `${key}=${value}`);
  const about = [job.model, job.priority !== "normal" && `${job.priority} priority`, ...metadata].filter((word) => word).join(", ");
  const name = h("a", { href: `#/jobs/${job.id}` }, `${job.id.slice(0, 8)}…${job.id.slice(-4)}`);
  const over = job.ended !== null;
  const time = over
    ? h("span", {}, `took ${span(job.ended - job.submitted)}`)
    : scale(job, now);
  return [
    h("td", {}, h("div", { class: "id", title: job.id }, name), h("span", { class: "soft" }, about)),
    h("td", {}, tag(state(job.state))),
    h("td", { class: "wide" }, progress(job.requests, job.state)),
    h("td", { class: "number" }, over ? "" : rate(job.rate)),
    h("td", { class: "wide" }, time, job.stalled && h("div", { class: "soft" }, job.stalled)),
    h("td", {}, job.sla && tag(standing(job.sla))),
  ];
}
