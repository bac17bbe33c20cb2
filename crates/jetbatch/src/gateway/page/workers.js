// Pools and who works in them, live.
import { fill, h, say } from "./dom.js";
import { listen, post } from "./server.js";
import { count, moment, rate, workerState } from "./text.js";
import { card, order, tag } from "./widgets.js";

export function workers(main, room) {
  const place = h("div", {});
  main.append(h("h1", {}, "Pools and workers"), place);
  listen("/events?limit=1", { workers: (list) => draw(place, list) }, room);
}

function draw(place, list) {
  if (place.contains(document.activeElement) && document.activeElement.tagName === "BUTTON") return;
  const pools = Map.groupBy ? Map.groupBy(list, (worker) => worker.pool) : group(list);
  if (!list.length) {
    const how = "Nobody works. A worker is started by `jetbatch serve --roles worker`; jobs wait until one is there.";
    return fill(place, h("p", { class: "empty" }, how));
  }
  fill(place, [...pools].map(([pool, members]) => card(`Pool ${pool}`, summary(members), table(members))));
}

function group(list) {
  const pools = new Map();
  for (const worker of list) pools.set(worker.pool, [...(pools.get(worker.pool) ?? []), worker]);
  return pools;
}

const sum = (members, field) => members.reduce((total, member) => total + (member[field] ?? 0), 0);

function summary(members) {
  const words = `${sum(members, "busy")} of ${sum(members, "slots")} slots busy, ${rate(sum(members, "requests_per_s"))} answers, ${rate(sum(members, "tokens_per_s"))} tokens`;
  return h("p", { class: "soft" }, words);
}

function table(members) {
  const head = ["Worker", "State", "Model", "Device", "Slots", "Answers", "Tokens", ""].map((name) => h("th", { scope: "col" }, name));
  return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, members.map(row))));
}

function row(worker) {
  const tell = (word, words) => async () => {
    try {
      await post(`/workers/${encodeURIComponent(worker.name)}/${word}`);
      say(words);
    } catch (error) {
      say(error.message, true);
    }
  };
  const works = ["sound", "on_trial"].includes(worker.state);
  const orders = works
    ? order("Drain", "Take nothing more?", tell("drain", "It finishes what it has."))
    : order("Trust", null, tell("trust", "It takes work again."));
  return h(
    "tr",
    {},
    h("td", {}, worker.name, worker.restarts > 0 && h("div", { class: "soft" }, `engine started again ${count(worker.restarts)} times`)),
    h("td", {}, tag(workerState(worker.state)), worker.why && h("div", { class: "soft" }, `${worker.why}, since ${moment(Date.parse(worker.since))}`)),
    h("td", {}, worker.model, h("div", { class: "soft" }, worker.engine)),
    h("td", {}, (worker.servers ?? []).length ? worker.servers.map((server) => h("div", {}, `${server.url}: ${server.state}, ${server.busy} of ${server.slots}`)) : worker.device),
    h("td", { class: "number" }, `${worker.busy} of ${worker.slots}`),
    h("td", { class: "number" }, rate(worker.requests_per_s)),
    h("td", { class: "number" }, rate(worker.tokens_per_s)),
    h("td", {}, orders),
  );
}
