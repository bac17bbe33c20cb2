// A file, or prompts that are typed.
import { h, say } from "./dom.js";
import { get, post } from "./server.js";

export function submit(main) {
  const models = h("select", {}, h("option", { value: "" }, "as the requests say"));
  get("/v1/models").then(({ data }) => data.forEach(({ id }) => models.append(h("option", { value: id }, id))), () => {});
  const window = h("input", { value: "24h", pattern: "[0-9]+[smhd]", required: true, size: 6 });
  const priority = h("select", {}, ["normal", "high", "low"].map((word) => h("option", { value: word }, word)));
  const file = h("input", { type: "file", accept: ".jsonl,.ndjson,application/x-ndjson" });
  const typed = h("textarea", { placeholder: "One prompt a line, or request lines of a batch file", spellcheck: "false" });
  const tokens = h("input", { type: "number", min: 1, value: 256 });
  const send = h("button", { class: "main" }, "Submit");
  const form = h(
    "form",
    { onsubmit: go },
    h("div", { class: "bar" }, h("label", {}, "Model", models), h("label", {}, "Done within", window), h("label", {}, "Priority", priority)),
    h("label", {}, "A batch file", file),
    h("p", { class: "soft" }, "or drop it here, or type:"),
    h("label", {}, "Prompts", typed),
    h("div", { class: "bar" }, h("label", {}, "Tokens of an answer, at most", tokens), h("span", { class: "end" }, send)),
  );
  const card = h("section", { class: "card", ondragover: (event) => event.preventDefault(), ondrop: drop }, form);
  main.append(h("h1", {}, "Submit"), card);

  function drop(event) {
    event.preventDefault();
    if (event.dataTransfer.files.length) {
      file.files = event.dataTransfer.files;
      say(`${file.files[0].name} is ready to be sent.`);
    }
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

  function lines(body) {
    const query = new URLSearchParams({ completion_window: window.value, priority: priority.value });
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

