// Numbers and times in words.

export const many = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

export const count = (n) => n.toLocaleString("en");

export function rate(n) {
  if (n === null || n === undefined) return "";
  return `${n >= 100 ? count(Math.round(n)) : n.toFixed(1)}/s`;
}

export function span(ms) {
  if (ms >= 0 && ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const moment = (ms) => new Date(ms).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });

export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

const STATES = {
  validating: ["live", "validating"],
  in_progress: ["live", "running"],
  paused: ["warn", "paused"],
  finalizing: ["live", "finalizing"],
  completed: ["good", "completed"],
  failed: ["bad", "failed"],
  expired: ["bad", "expired"],
  cancelling: ["warn", "cancelling"],
  cancelled: ["warn", "cancelled"],
};
const STANDINGS = {
  on_track: ["good", "on track"],
  at_risk: ["warn", "at risk"],
  stalled: ["bad", "stalled"],
  met: ["good", "in time"],
  missed: ["bad", "late"],
};

export const state = (word) => STATES[word] ?? ["", word];
export const standing = (word) => STANDINGS[word] ?? ["", word ?? ""];
export const isOver = (word) => ["completed", "failed", "expired", "cancelled"].includes(word);
export const workerState = (word) =>
  ({ sound: ["good", "working"], on_trial: ["warn", "on trial"], loading: ["live", "loading"], draining: ["warn", "draining"] })[
    word
  ] ?? ["bad", (word ?? "").replaceAll("_", " ")];
