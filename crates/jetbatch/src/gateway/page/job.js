// One job: how far it is, why, what it gave, and its orders.
import { fill, h, say } from "./dom.js";
import { meter } from "./meter.js";
import { get, head, listen, post, remove } from "./server.js";
import { may } from "./session.js";
import { count, isOver, many, moment, rate, span, standing, state } from "./text.js";
import { lanes } from "./timeline.js";
import { card, chart, facts, order, progress, scale, tag } from "./widgets.js";

const SAMPLE = 5;

export function job(main, room, id) {
  const places = Object.fromEntries(
    ["title", "trouble", "now", "orders", "band", "speed", "lanes", "errors", "answers", "about"].map((name) => [name, h("div", {})]),
  );
  main.append(
    places.title,
    places.trouble,
    card(null, places.now, places.orders),
    card("Time left", places.band),
    card("Answers a second", places.speed),
    card("Where the time went", places.lanes),
    card("Errors", places.errors),
    card("First answers", places.answers),
    card("About", places.about),
  );
  const [speed, band] = [meter(), []];
  let drawn = -1;

  const stream = listen(
    `/jobs/${id}/events`,
    {
      status: (job, stream) => {
        note(job);
        draw(job);
        if (isOver(job.state)) stream.close();
      },
    },
    room,
  );
  get(`/jobs/${id}`).catch((error) => {
    if (error.status === 404) stream.close();
    fill(main, h("p", { class: "empty" }, error.message));
  });

  function note(job) {
    const at = Date.now();
    speed.add(at, job.requests.completed + job.requests.failed);
    if (job.eta) band.push([at, (Date.parse(job.eta.p90) - at) / 1000]);
    if (band.length > 600) band.shift();
  }

  function draw(job) {
    const over = isOver(job.state);
    const compact = {
      submitted: Date.parse(job.submitted_at),
      deadline: Date.parse(job.deadline),
      eta: job.eta && [job.eta.p10, job.eta.p50, job.eta.p90].map((at) => Date.parse(at)),
    };
    fill(places.title, h("h1", {}, `Job ${job.id}`));
    fill(places.trouble, ...troubles(job));
    fill(
      places.now,
      h("div", { class: "bar" }, tag(state(job.state)), job.sla && tag(standing(job.sla)), h("span", { class: "soft" }, rate(job.requests_per_s))),
      progress(job.requests, job.state),
    );
    // A button that is made anew under a pointer cannot be pressed.
    const offered = [job.state, job.priority, job.output !== null, job.error_file !== null].join();
    if (offered !== places.orders.dataset.offered) {
      places.orders.dataset.offered = offered;
      fill(places.orders, ...orders(job, over));
    }
    fill(places.band, over ? h("p", {}, ended(job)) : scale(compact, Date.now()), moved(job), band.length > 1 && h("p", { class: "soft" }, "Time left by nine chances in ten, since this page was opened:"), band.length > 1 && chart(band, "time left"));
    fill(places.speed, over && speed.points.length < 2 ? h("p", { class: "soft" }, `${rate(job.requests_per_s) || "None"} over its run.`) : chart(speed.points, "answers a second"));
    trace(over);
    fill(places.about, about(job));
    look(job, over);
  }

  // The log is read again every few seconds, and once more at the job's end.
  async function trace(over) {
    if (over ? trace.whole : Date.now() - (trace.at ?? 0) < 3000) return;
    [trace.at, trace.whole] = [Date.now(), over];
    const timeline = await get(`/jobs/${id}/timeline`).catch(() => null);
    if (timeline && (over || !trace.whole)) fill(places.lanes, ...lanes(timeline));
  }

  // Lines are read again when there are more, and no more often than every few seconds.
  async function look(job, over) {
    const done = job.requests.completed + job.requests.failed + (over ? 0.5 : 0);
    if (done === drawn || (drawn >= 0 && !over && Date.now() - (look.at ?? 0) < 5000)) return;
    [drawn, look.at] = [done, Date.now()];
    const [answers, errors, asked] = await Promise.all([
      head(`/jobs/${id}/results`, SAMPLE).catch(() => []),
      head(`/jobs/${id}/errors`, 200).catch(() => []),
      prompts(id).catch(() => new Map()),
    ]);
    fill(places.answers, answers.length ? answers.map((line) => pair(line, asked)) : h("p", { class: "soft" }, "None is written yet."));
    fill(places.errors, ...errorGroups(errors, job));
  }

  function orders(job, over) {
    const act = (path, body, words) => async () => {
      try {
        await post(`/jobs/${id}/${path}`, body);
        say(words);
      } catch (error) {
        say(error.message, true);
      }
    };
    const files = [
      job.output && h("a", { href: `/jobs/${id}/results`, download: `${id}.output.jsonl` }, "Download the answers"),
      job.error_file && h("a", { href: `/jobs/${id}/errors`, download: `${id}.errors.jsonl` }, "Download the errors"),
    ];
    if (!may("submit")) return [h("div", { class: "bar orders" }, over && files)];
    if (over) {
      const missing = job.requests.failed + job.requests.unanswered;
      return [
        h(
          "div",
          { class: "bar orders" },
          files,
          missing > 0 && order("Retry what failed", null, retry),
          order("Delete", "Delete its files for good?", drop, "bad"),
        ),
      ];
    }
    const pause = job.state === "paused" ? order("Resume", null, act("resume", undefined, "It goes on.")) : order("Pause", null, act("pause", undefined, "Paused; the deadline stands."));
    const priority = h("select", { "aria-label": "Priority", onchange: (event) => act("priority", { priority: event.target.value }, "Its priority is changed.")() });
    for (const word of ["high", "normal", "low"]) priority.append(h("option", { value: word, selected: word === job.priority }, `${word} priority`));
    const window = h("input", { "aria-label": "New window, from the submission on", placeholder: "48h", size: 6, pattern: "[0-9]+[smhd]" });
    const deadline = h("form", { class: "bar orders", onsubmit: (event) => (event.preventDefault(), act("deadline", { completion_window: window.value }, "The deadline is moved.")()) }, window, h("button", {}, "Move the deadline"));
    return [h("div", { class: "bar orders" }, pause, priority, deadline, order("Cancel", "End it? What is answered is kept", act("cancel", undefined, "It ends; what is answered is kept."), "bad"))];
  }

  async function retry() {
    try {
      const made = await post(`/jobs/${id}/retry`);
      location.hash = `#/jobs/${made.id}`;
    } catch (error) {
      say(error.message, true);
    }
  }

  async function drop() {
    try {
      await remove(`/jobs/${id}`);
      location.hash = "#/";
    } catch (error) {
      say(error.message, true);
    }
  }
}

function troubles(job) {
  const shown = [];
  if (job.stalled) {
    const { cause, mend, since } = job.stalled;
    shown.push(h("section", { class: "card stalled", role: "alert" }, h("h2", {}, "It cannot go on"), h("p", {}, cause), h("p", {}, mend), h("p", { class: "soft" }, `since ${moment(Date.parse(since))}`)));
  }
  if (job.risk) {
    const words = job.risk.certain ? "It will miss its deadline" : "It may miss its deadline";
    shown.push(h("section", { class: "card warned", role: "alert" }, h("h2", {}, words), h("p", {}, job.risk.why), h("p", { class: "soft" }, `since ${moment(Date.parse(job.risk.since))}`)));
  }
  const [short, wrong] = [true, false].map((is) => job.warnings.filter((warning) => (warning.code === "window_too_short") === is));
  if (short.length) {
    const lines = short.map((warning) => h("li", {}, warning.message));
    shown.push(h("section", { class: "card warned" }, h("h2", {}, "Its window"), h("ul", {}, lines)));
  }
  if (wrong.length) {
    const lines = wrong.map((warning) => h("li", {}, `${many(warning.count, "request")}, the first in line ${warning.line}: ${warning.message}`));
    shown.push(h("section", { class: "card warned" }, h("h2", {}, "Answered with an error, as the input is"), h("ul", {}, lines)));
  }
  return shown;
}

function moved(job) {
  return job.eta && job.eta_moved && h("p", { class: "soft" }, `The estimate moved last by a fifth or more: ${job.eta_moved.replaceAll("_", " ")}.`);
}

function ended(job) {
  const took = span(Date.parse(job.ended_at) - Date.parse(job.submitted_at));
  const spare = Date.parse(job.deadline) - Date.parse(job.ended_at);
  const end = spare >= 0 ? `${span(spare)} before its deadline` : `${span(-spare)} after its deadline`;
  return `It took ${took} and ended ${end}.`;
}

function about(job) {
  const { prompt_tokens, completion_tokens } = job.usage;
  const metadata = Object.entries(job.metadata).map(([key, value]) => [key, value]);
  return facts([
    ["model", job.model],
    ["endpoint", job.endpoint],
    ["priority", job.priority],
    ["submitted", moment(Date.parse(job.submitted_at))],
    ["deadline", moment(Date.parse(job.deadline))],
    ["prompt tokens", count(prompt_tokens)],
    ["answer tokens", count(completion_tokens)],
    ["tokens a second", rate(job.tokens_per_s)],
    ["trace", job.trace_id],
    ["why it ended without files", job.reason],
    ...metadata,
  ]);
}

// The prompts of the first requests, by custom_id.
async function prompts(id) {
  const batch = await get(`/v1/batches/${id}`);
  const lines = await head(`/v1/files/${batch.input_file_id}/content`, 200);
  return new Map(lines.map((line) => [line.custom_id, asked(line.body)]));
}

function asked(body) {
  const said = (content) => (typeof content === "string" ? content : JSON.stringify(content));
  if (body?.messages) return body.messages.map(({ role, content }) => `${role}: ${said(content)}`).join("\n");
  return said(body?.prompt ?? body?.input ?? "");
}

function answered(body) {
  const choice = body?.choices?.[0];
  if (choice) return choice.message?.content ?? choice.text ?? JSON.stringify(choice.message);
  return JSON.stringify(body).slice(0, 500);
}

function pair(line, questions) {
  const question = questions.get(line.custom_id) ?? line.custom_id;
  return h("div", { class: "pair" }, h("pre", {}, question), h("pre", {}, answered(line.response?.body)));
}

function errorGroups(lines, job) {
  const validation = job.errors.map((error) => h("li", {}, `${error.line ? `line ${error.line}: ` : ""}${error.message}`));
  if (validation.length) return [h("p", {}, `The input did not validate: ${many(job.errors_total, "error")}.`), h("ul", {}, validation)];
  if (!lines.length) return [h("p", { class: "soft" }, job.requests.failed + job.requests.unanswered ? "They are not written yet." : "None.")];
  const groups = new Map();
  for (const line of lines) {
    const error = line.error ?? line.response?.body?.error ?? {};
    const name = line.error?.code ?? `${line.response?.status_code} ${error.code ?? ""}`;
    const group = groups.get(name) ?? { count: 0, sample: error.message, id: line.custom_id };
    group.count += 1;
    groups.set(name, group);
  }
  const rows = [...groups].map(([name, group]) =>
    h("tr", {}, h("td", {}, name), h("td", { class: "number" }, count(group.count)), h("td", {}, h("pre", {}, `${group.id}: ${group.sample}`))),
  );
  const of = lines.length === 200 ? "the first 200" : "all";
  return [h("p", { class: "soft" }, `Of ${of}:`), h("div", { class: "errors scroll" }, h("table", {}, h("tbody", {}, rows)))];
}
