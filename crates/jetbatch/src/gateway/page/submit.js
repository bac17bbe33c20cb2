// A file, or prompts that are typed.
import { fill, h, say } from "./dom.js";
import { get, post } from "./server.js";
import { count, many, moment } from "./text.js";
import { card, facts } from "./widgets.js";

export function submit(main) {
  const models = h("select", {}, h("option", { value: "" }, "as the requests say"));
  get("/v1/models").then(({ data }) => data.forEach(({ id }) => models.append(h("option", { value: id }, id))), () => {});
  const window = h("input", { value: "24h", pattern: "[0-9]+[smhd]", required: true, size: 6 });
  const priority = h("select", {}, ["normal", "high", "low"].map((word) => h("option", { value: word }, word)));
  const file = h("input", { type: "file", accept: ".jsonl,.ndjson,application/x-ndjson" });
  const typed = h("textarea", { placeholder: "One prompt a line, or request lines of a batch file", spellcheck: "false" });
  const tokens = h("input", { type: "number", min: 1, value: 256 });
  const send = h("button", { class: "main" }, "Submit");
  const ask = h("button", { type: "button", onclick: quote }, "Quote");
  const quoted = h("div", { role: "status" });
  const form = h(
    "form",
    { onsubmit: go },
    h("div", { class: "bar" }, h("label", {}, "Model", models), h("label", {}, "Done within", window), h("label", {}, "Priority", priority)),
    h("label", {}, "A batch file", file),
    h("p", { class: "soft" }, "or drop it here, or type:"),
    h("label", {}, "Prompts", typed),
    h("div", { class: "bar" }, h("label", {}, "Tokens of an answer, at most", tokens), h("span", { class: "end bar" }, ask, send)),
  );
  const sheet = h("section", { class: "card", ondragover: (event) => event.preventDefault(), ondrop: drop }, form);
  main.append(h("h1", {}, "Submit"), sheet, quoted);

  function drop(event) {
    event.preventDefault();
    if (event.dataTransfer.files.length) {
      file.files = event.dataTransfer.files;
      say(`${file.files[0].name} is ready to be sent.`);
    }
  }

  // What it would come to, before anything is sent.
  async function quote() {
    ask.disabled = true;
    try {
      fill(quoted, told(await (file.files.length ? lines(file.files[0], true) : lines(asked(typed.value.trim()), true))));
    } catch (error) {
      say(error.message, true);
    }
    ask.disabled = false;
  }

  function asked(text) {
    if (!text) throw new Error("Choose a file, or type a prompt.");
    if (text.startsWith("{")) return `${text}\n`;
    const line = (content, n) => JSON.stringify({ custom_id: `${n}`, body: { messages: [{ role: "user", content }], max_tokens: Number(tokens.value) } });
    return text.split("\n").filter((prompt) => prompt.trim()).map((prompt, n) => `${line(prompt, n)}\n`).join("");
  }

  async function go(event) {
    event.preventDefault();
    send.disabled = true;
    try {
      const made = await (file.files.length ? lines(file.files[0]) : written(typed.value.trim()));
      location.hash = `#/jobs/${made.id}`;
    } catch (error) {
      say(error.message, true);
    }
    send.disabled = false;
  }

  function lines(body, dryRun = false) {
    const query = new URLSearchParams({ completion_window: window.value, priority: priority.value });
    if (dryRun) query.set("dry_run", "true");
    if (models.value) query.set("model", models.value);
    return post(`/jobs?${query}`, body, { "Content-Type": "application/x-ndjson" });
  }

  function written(text) {
    if (!text) throw new Error("Choose a file, or type a prompt.");
    if (text.startsWith("{")) return lines(`${text}\n`);
    const prompts = text.split("\n").filter((line) => line.trim());
    const asked = { prompts, max_tokens: Number(tokens.value), completion_window: window.value, priority: priority.value };
    return post("/start", models.value ? { ...asked, model: models.value } : asked);
  }
}

function told(quote) {
  const band = (eta) => eta && `${moment(Date.parse(eta.p10))} to ${moment(Date.parse(eta.p90))}, likely ${moment(Date.parse(eta.p50))}`;
  return card(
    "Quote",
    h("p", {}, verdict(quote)),
    facts([
      ["requests", count(quote.requests)],
      ["prompt tokens", quote.prompt_tokens ? count(quote.prompt_tokens) : null],
      ["answer tokens", quote.completion_tokens ? count(quote.completion_tokens) : null],
      ["begins", band(quote.start)],
      ["done", band(quote.finish)],
      ["shortest window that holds", quote.shortest_window],
      ["jobs it would make late", quote.endangered.length ? count(quote.endangered.length) : null],
    ]),
    quote.errors.length > 0 && h("ul", {}, quote.errors.slice(0, 20).map((error) => h("li", {}, `${error.line ? `line ${error.line}: ` : ""}${error.message}`))),
    quote.warnings.length > 0 && h("ul", {}, quote.warnings.map((warning) => h("li", {}, `${many(warning.count, "request")}, the first in line ${warning.line}: ${warning.message}`))),
  );
}

function verdict(quote) {
  if (!quote.valid) return "It would not be taken.";
  if (quote.holds === null) return `It would be taken. Nobody knows how long it takes${quote.unknown.length ? `: nothing was seen yet of ${quote.unknown.join(", ")}` : ""}.`;
  return quote.holds ? "It would be done in time, with nine chances in ten." : "It may well not be done in time.";
}
