// Which room is looked at, by the address behind the #.
import { fill, h } from "./dom.js";
import { get } from "./server.js";
import { dead } from "./dead.js";
import { job } from "./job.js";
import { jobs } from "./jobs.js";
import { keys } from "./keys.js";
import { badge, know, may, signIn } from "./session.js";
import { submit } from "./submit.js";
import { workers } from "./workers.js";

const ROOMS = [
  [/^\/$/, "jobs", jobs],
  [/^\/jobs\/([0-9a-f-]{36})$/, "jobs", job],
  [/^\/workers$/, "workers", workers],
  [/^\/dead$/, "dead", dead],
  [/^\/submit$/, "submit", submit],
  [/^\/keys$/, "keys", keys],
];
const NEEDS = { jobs: ["read"], workers: ["read", "operate"], dead: ["read"], submit: ["submit"], keys: ["admin"] };
const main = document.getElementById("main");
let leave = [];

// What a key does not allow is not offered.
async function begin() {
  const known = await know();
  badge(document.getElementById("me"), begin);
  for (const link of document.querySelectorAll("nav a")) link.hidden = !may(...NEEDS[link.dataset.room]);
  if (known) return enter();
  depart();
  signIn(main, begin);
}

function depart() {
  leave.forEach((end) => end());
  leave = [];
}

function enter() {
  depart();
  const path = location.hash.slice(1) || "/";
  const [match, name, room] = ROOMS.map(([shape, ...rest]) => [path.match(shape), ...rest]).find(([found]) => found) ?? [];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.room === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  fill(main);
  if (!room) return fill(main, h("p", { class: "empty" }, "There is nothing here."));
  if (!may(...NEEDS[name])) return fill(main, h("p", { class: "empty" }, `This needs a key with: ${NEEDS[name].join(", ")}.`));
  room(main, { onleave: (end) => leave.push(end) }, ...match.slice(1));
}

async function health() {
  const line = document.getElementById("health");
  try {
    const response = await fetch("/readyz");
    const { status, reasons } = await response.json();
    line.className = status === "ready" ? "" : "bad";
    line.textContent = status === "ready" ? "ready" : reasons.join("; ");
  } catch {
    line.className = "bad";
    line.textContent = "jetbatch does not answer";
  }
}

window.addEventListener("hashchange", () => {
  if (!may()) return;
  enter();
  main.focus();
  window.scrollTo(0, 0);
});
window.addEventListener("refused", async () => (await know()) || begin());
begin();
health();
// The live list tells when something moves; this only tells when nothing answers any more.
setInterval(health, 15000);
get("/").then((about) => (document.querySelector(".name").title = `jetbatch ${about.version}`), () => {});
