// Keys, for admins: who may come in, and for what.
import { fill, h, say } from "./dom.js";
import { get, post, remove } from "./server.js";
import { moment } from "./text.js";
import { card, order, tag } from "./widgets.js";

const ROLES = ["submit", "read", "operate", "admin"];
const STATES = { valid: "good", expired: "warn", revoked: "bad" };

export function keys(main) {
  const [secret, place] = [h("div", { role: "status" }), h("div", {})];
  main.append(h("h1", {}, "Keys"), form(), secret, place);
  load();

  function form() {
    const name = h("input", { required: true, spellcheck: "false" });
    const tenant = h("input", { value: "default", required: true, size: 12, spellcheck: "false" });
    const life = h("input", { placeholder: "for ever, or 90d", pattern: "[0-9]+[smhd]", size: 12 });
    const roles = ROLES.map((role) => [role, h("input", { type: "checkbox", checked: ["submit", "read"].includes(role) })]);
    const go = (event) => {
      event.preventDefault();
      const wanted = roles.filter(([, box]) => box.checked).map(([role]) => role);
      const asked = { name: name.value, tenant: tenant.value, roles: wanted };
      act(() => post("/keys", life.value ? { ...asked, expires_in: life.value } : asked), show);
    };
    return card(
      "A new key",
      h(
        "form",
        { onsubmit: go },
        h("div", { class: "bar" }, h("label", {}, "Name", name), h("label", {}, "Tenant", tenant), h("label", {}, "Lives", life)),
        h("fieldset", { class: "bar" }, h("legend", {}, "It may"), roles.map(([role, box]) => h("label", { class: "choice" }, box, role))),
        h("div", { class: "bar" }, h("span", { class: "end" }, h("button", { class: "main" }, "Make it"))),
      ),
    );
  }

  // Nobody can show it again.
  function show(made) {
    fill(secret, card(`The secret of ${made.name}`, h("p", {}, "Copy it now: it is kept as a hash, and cannot be shown again."), h("pre", {}, made.secret)));
  }

  async function act(call, then = () => {}) {
    try {
      then(await call());
      await load();
    } catch (error) {
      say(error.message, true);
    }
  }

  async function load() {
    try {
      const { data } = await get("/keys");
      fill(place, data.length ? table(data) : h("p", { class: "empty" }, "There are no keys."));
    } catch (error) {
      fill(place, h("p", { class: "empty" }, error.message));
    }
  }

  function table(all) {
    const head = ["Name", "Tenant", "It may", "State", "Made", "Ends", ""].map((name) => h("th", { scope: "col" }, name));
    return card(null, h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, all.map(row)))));
  }

  function row(key) {
    const rotate = order("Rotate", "Another secret, and the old one ends?", () => act(() => post(`/keys/${key.id}/rotate`), show));
    const revoke = order("Revoke", "End it for good?", () => act(() => remove(`/keys/${key.id}`), () => say("It is not taken any more.")), "bad");
    const ends = key.revoked_at ?? key.expires_at;
    return h(
      "tr",
      {},
      h("td", {}, key.name, h("div", { class: "soft" }, key.id)),
      h("td", {}, key.tenant),
      h("td", {}, key.roles.join(", "), key.pools.length > 0 && h("div", { class: "soft" }, `in ${key.pools.join(", ")}`)),
      h("td", {}, tag([STATES[key.state] ?? "", key.state])),
      h("td", {}, moment(Date.parse(key.created_at))),
      h("td", {}, ends ? moment(Date.parse(ends)) : "never"),
      h("td", {}, h("div", { class: "bar" }, key.state === "valid" && [rotate, revoke])),
    );
  }
}
