// What the door says. A refusal is its own words.

async function answer(response) {
  if (response.ok) return response;
  let message = `${response.status} ${response.statusText}`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // It was not the door itself that answered.
  }
  throw Object.assign(new Error(message), { status: response.status });
}

export const get = async (path) => (await answer(await fetch(path, { headers: { Accept: "application/json" } }))).json();

export async function post(path, body, headers = {}) {
  const json = body !== undefined && !(body instanceof Blob) && typeof body !== "string";
  const type = json ? { "Content-Type": "application/json" } : {};
  const init = { method: "POST", headers: { ...type, ...headers }, body: json ? JSON.stringify(body) : body };
  return (await answer(await fetch(path, init))).json();
}

export const remove = async (path) => (await answer(await fetch(path, { method: "DELETE" }))).json();

// The first lines of a file, however long it is.
export async function head(path, lines, bytes = 256 * 1024) {
  const stop = new AbortController();
  const response = await answer(await fetch(path, { signal: stop.signal }));
  const [reader, decoder] = [response.body.getReader(), new TextDecoder()];
  let text = "";
  while (text.length < bytes && text.split("\n").length <= lines) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  stop.abort();
  const whole = text.split("\n").slice(0, lines).filter((line) => line);
  return whole.map((line) => tryParse(line)).filter((line) => line);
}

function tryParse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

// Server-sent events until the room is left. The browser connects again by itself, unless the door refuses it, as it does when
// it is full, or a key is revoked.
export function listen(path, events, room) {
  let [source, timer] = [null, null];
  const stream = {
    close() {
      clearTimeout(timer);
      source.close();
    },
  };
  const open = () => {
    source = new EventSource(path);
    for (const [name, take] of Object.entries(events)) {
      source.addEventListener(name, (event) => take(JSON.parse(event.data), stream));
    }
    source.addEventListener("error", (event) => {
      if (event.target.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(open, 5000);
      window.dispatchEvent(new Event("refused"));
    });
  };
  open();
  room.onleave(stream.close);
  return stream;
}
