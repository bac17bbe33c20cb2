// Where a job's time went, as its events tell it.
import { h } from "./dom.js";
import { count, many, span } from "./text.js";

const NAMES = {
  waiting_validation: "waited for validation",
  validating: "validated",
  waiting_jobs: "waited for other jobs",
  waiting_workers: "waited for workers",
  running: "ran",
  retrying: "tried again",
  paused: "paused",
  held: "held",
  archiving: "wrote its files",
};

export function lanes(timeline) {
  const [begin, end] = [Date.parse(timeline.submitted_at), Date.parse(timeline.until)];
  const place = (ms) => `${(ms / (end - begin || 1)) * 100}%`;
  const rows = timeline.stages.flatMap(({ stage, ms }) => {
    const parts = timeline.spans.filter((part) => part.stage === stage).map((part) => {
      const bar = h("i", { class: stage });
      bar.style.left = place(Date.parse(part.from) - begin);
      bar.style.width = place(Date.parse(part.until) - Date.parse(part.from));
      return bar;
    });
    return [h("span", {}, NAMES[stage] ?? stage), h("div", { class: "lane", "aria-hidden": "true" }, parts), h("span", { class: "soft" }, span(ms))];
  });
  const failed = timeline.attempts_failed ? `, ${count(timeline.attempts_failed)} of them failed` : ", none failed";
  return [
    h("p", { class: "why" }, timeline.why),
    h("div", { class: "lanes" }, rows),
    h("p", { class: "soft" }, `${many(timeline.attempts, "chunk run")}${failed}.`),
    faults(timeline.notable.filter((attempt) => attempt.class)),
  ];
}

function faults(attempts) {
  const words = ({ segment, chunk, attempt, worker, reason }) => `chunk ${segment}.${chunk}, attempt ${attempt} on ${worker}: ${reason}`;
  return attempts.length > 0 && h("ul", { class: "soft" }, attempts.map((attempt) => h("li", {}, `${attempt.class.replaceAll("_", " ")}: ${words(attempt)}`)));
}
