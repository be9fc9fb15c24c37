// SPDX-License-Identifier: Apache-2.0
/* As much of a browser as the scripts of the pages need to make elements: import it before them. */

class Element {
  constructor(name) {
    this.name = name;
    this.attributes = {};
    this.listeners = {};
    this.children = [];
  }

  setAttribute(key, value) {
    this.attributes[key] = String(value);
  }

  addEventListener(event, listener) {
    this.listeners[event] = listener;
  }

  append(...children) {
    this.children.push(...children);
  }

  get textContent() {
    return this.children.map((child) => child.textContent ?? String(child)).join("");
  }

  set textContent(text) {
    this.children = [text];
  }
}

const storage = {};

export function define(name, value) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

define("window", { parent: null });
define("location", { href: "https://airflow.example.com/prefix/bkitsm/approvals", search: "" });
define("localStorage", { getItem: (key) => storage[key] ?? null });
define("document", {
  documentElement: { lang: "en-GB" },
  createElement: (name) => new Element(name),
  createElementNS: (_, name) => new Element(name),
});

/** Choose a language as Airflow does; null for the browser's own. */
export function speak(language, browsers = "en-US") {
  storage.i18nextLng = language;
  define("navigator", { language: browsers });
}

/** All elements of this name in an element, itself included, in their order. */
export function all(element, name) {
  const inside = (element.children ?? []).flatMap((child) => all(child, name));
  return element.name === name ? [element, ...inside] : inside;
}

export function one(element, name) {
  const found = all(element, name);
  if (found.length !== 1) throw new Error(`${found.length} elements ${name}`);
  return found[0];
}

/** The texts of an element's children, each by itself. */
export function texts(element) {
  const isText = (child) => child.textContent === undefined;
  return element.children
    .map((child) => (isText(child) ? child : child.textContent))
    .filter(Boolean);
}

speak("en");
