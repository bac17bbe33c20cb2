// Pools and who works in them, live.
import { fill, h, say } from "./dom.js";
import { listen, post } from "./server.js";
import { count, many, moment, rate, workerState } from "./text.js";
import { card, order, tag } from "./widgets.js";

export function workers(main, room) {
  const place = h("div", {});
  main.append(h("h1", {}, "Pools and workers"), place);
  let [list, ahead] = [null, []];
  const show = () => list && draw(place, list, ahead);
  listen("/events?limit=1", { pools: (told) => ((ahead = told), show()), workers: (told) => ((list = told), show()) }, room);
}

function draw(place, list, ahead) {
  if (place.contains(document.activeElement) && document.activeElement.tagName === "BUTTON") return;
  const how = "Nobody works. A worker is started by `jetbatch serve --roles worker`; jobs wait until one is there.";
  const none = list.length ? [] : [h("p", { class: "empty" }, how)];
  const cards = ahead.map((pool) => {
    const members = list.filter((worker) => worker.pool === pool.pool);
    return card(`Pool ${pool.pool}`, need(pool), members.length > 0 && [summary(members), table(members)]);
  });
  fill(place, ...none, ...cards);
}

// What the promises ask for, against who works.
function need({ workers, workers_needed: needed, requests_owed: owed }) {
  if (owed === null) return h("p", { class: "soft" }, "What it has before it is not known now.");
  const asks = needed === null ? "it was never seen at work" : `${many(needed, "worker")} needed to keep every deadline`;
  const words = `${many(owed, "request")} owed; ${asks}, ${count(workers)} at work.`;
  return h("p", { class: needed > workers ? "warn" : "soft" }, words);
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
