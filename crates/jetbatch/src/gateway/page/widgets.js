// What more than one room shows.
import { h, svg } from "./dom.js";
import { clock, count, many, span } from "./text.js";

export const tag = ([kind, words]) => h("span", { class: `tag ${kind}` }, words);

const percent = (part, whole) => `${whole > 0 ? Math.min(100, (100 * part) / whole) : 0}%`;

// How far a job is: good answers, then errors.
export function progress({ total, completed, failed, unanswered }, state) {
  const over = completed + failed + unanswered;
  const uncounted = state === "failed" ? "its input did not validate" : "not counted yet";
  const label = total ? `${count(over)} of ${count(total)}` : uncounted;
  const bar = h(
    "div",
    { class: "progress", role: "progressbar", "aria-label": "requests", "aria-valuemin": 0, "aria-valuemax": total },
    h("div", { class: "good", style: { width: percent(completed, total) } }),
    h("div", { class: "bad", style: { width: percent(failed + unanswered, total) } }),
  );
  bar.setAttribute("aria-valuenow", over);
  bar.setAttribute("aria-valuetext", label);
  const wrong = failed + unanswered ? `, ${many(failed + unanswered, "error")}` : "";
  return h("div", {}, bar, h("span", { class: "soft" }, label + wrong));
}

// From the submission to the deadline, or to the end that is expected where that is later: where we are, and the band.
export function scale(job, now) {
  const end = Math.max(job.deadline, job.eta ? job.eta[2] : 0, now);
  const at = (ms) => percent(ms - job.submitted, end - job.submitted);
  const isLate = job.eta !== null && job.eta[2] > job.deadline;
  const left = span(job.deadline - now);
  const words = job.eta
    ? `done ${clock(job.eta[0])} to ${clock(job.eta[2])}, deadline in ${left}`
    : now > job.deadline
      ? "past the deadline"
      : `deadline in ${left}`;
  const band = job.eta && h("div", { class: "band" });
  if (band) {
    band.style.left = at(job.eta[0]);
    band.style.width = `calc(${at(job.eta[2])} - ${at(job.eta[0])})`;
  }
  const marks = h("div", { class: isLate ? "scale late" : "scale", "aria-hidden": "true" }, h("div", { class: "track" }), band);
  for (const [kind, ms] of [["now", now], ["deadline", job.deadline]]) {
    marks.append(h("div", { class: kind, style: { left: at(ms) } }));
  }
  return h("div", {}, marks, h("span", { class: "soft" }, words));
}

// A line over time; points are [time, value].
export function chart(points, label) {
  if (points.length < 2) return h("p", { class: "soft" }, "It is drawn as it comes.");
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  const most = Math.max(...points.map(([, value]) => value), 1e-9);
  const place = ([at, value]) => `${((at - first) / (last - first || 1)) * 100},${30 - (value / most) * 28}`;
  const line = points.map(place).join("L");
  const picture = svg("svg", { class: "chart", viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": label });
  picture.append(svg("path", { class: "area", d: `M0,30L${line}L100,30Z` }), svg("path", { d: `M${line}` }));
  return picture;
}

// A choice that is asked once more before it is made.
export function order(words, question, act, kind = "") {
  const button = h("button", { type: "button", class: kind }, words);
  let asked = false;
  const calm = () => {
    asked = false;
    button.textContent = words;
  };
  button.addEventListener("blur", calm);
  button.addEventListener("click", async () => {
    if (question && !asked) {
      asked = true;
      button.textContent = question;
      return;
    }
    calm();
    button.disabled = true;
    await act();
    button.disabled = false;
  });
  return button;
}

export const card = (title, ...children) => h("section", { class: "card" }, title && h("h2", {}, title), ...children);

export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

