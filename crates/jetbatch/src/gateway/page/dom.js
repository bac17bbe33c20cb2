// Elements from plain data. Whatever is text stays text: nothing that came from elsewhere is ever read as HTML.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "style") Object.assign(element.style, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Puts `children` in place of what stands there, and leaves alone what did not change, so that focus stays.
export function fill(parent, ...children) {
  const wanted = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  wanted.forEach((child, at) => {
    const there = parent.childNodes[at];
    if (there !== child) parent.insertBefore(child, there ?? null);
  });
  while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
}

let timer;

// A word to whoever looks, for a moment.
export function say(text, bad = false) {
  const said = document.getElementById("said");
  said.className = bad ? "bad" : "";
  said.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => (said.textContent = ""), bad ? 8000 : 4000);
}
