// Who the reader is to the door, and the way in where it asks for a key. The key itself is the browser's to keep: no script
// sees it again.
import { fill, h, say } from "./dom.js";
import { get, post, remove } from "./server.js";

let me = null;

export const may = (...roles) => me !== null && roles.every((role) => me.roles.includes(role));

// Asks the door; false where it wants a key first. One that is kept and not taken any more is let go of: the door may ask
// for none.
export async function know(last = false) {
  try {
    me = await get("/whoami");
  } catch (error) {
    me = null;
    if (error.status === 401 && last) return false;
    if (error.status === 401) return remove("/session").then(() => know(true), () => false);
    // It does not answer, or is older: each room says so itself.
    me = { roles: ["submit", "read", "operate", "admin"], key: null };
  }
  return true;
}

// The way in, in place of a room; `then` when there is a key that the door takes.
export function signIn(main, then) {
  const key = h("input", { type: "password", required: true, autocomplete: "off", spellcheck: "false", placeholder: "jb_..." });
  const send = h("button", { class: "main" }, "Sign in");
  const form = h("form", { onsubmit: go }, h("label", {}, "Key", key), h("div", { class: "bar" }, h("span", { class: "end" }, send)));
  const how = "This door asks for a key. Whoever runs it makes one with `jetbatch keys create`.";
  fill(main, h("h1", {}, "Sign in"), h("section", { class: "card" }, h("p", { class: "soft" }, how), form));
  key.focus();

  async function go(event) {
    event.preventDefault();
    send.disabled = true;
    try {
      await post("/session", { key: key.value.trim() });
      key.value = "";
      then();
    } catch (error) {
      say(error.message, true);
    }
    send.disabled = false;
  }
}

// Who is signed in, and the way out; nothing where no key is needed.
export function badge(place, then) {
  if (!me?.key) return fill(place);
  const out = h("button", { type: "button", onclick: go }, "Sign out");
  fill(place, h("span", { class: "soft" }, `${me.name} (${me.tenant})`), out);

  async function go() {
    await remove("/session").catch((error) => say(error.message, true));
    then();
  }
}
