// SPDX-License-Identifier: GPL-3.0-or-later
// <rule-editor schema><textarea></textarea></rule-editor>: proposes what may stand at the cursor by the schema, after a
// quotation mark or Ctrl+Space; Up and Down choose, Enter or Tab takes, Escape puts the list away. Without a list Tab
// indents (Escape, then Tab leaves the field), and Enter keeps the indentation. The server checks while one types.

import { placeOf, propose } from "./json-completion.js";

const INDENT = "  ";
const MAX_SHOWN = 12;

class RuleEditor extends HTMLElement {
  connectedCallback() {
    this.leaving = false;
    this.area = this.querySelector("textarea");
    this.list = document.createElement("ul");
    this.list.className = "proposals";
    this.list.id = `${this.area.id}-proposals`;
    this.list.hidden = true;
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Proposals");
    this.append(this.list);
    this.area.setAttribute("aria-autocomplete", "list");
    this.area.setAttribute("aria-controls", this.list.id);
    this.area.addEventListener("keydown", (event) => this.press(event));
    this.area.addEventListener("input", (event) => this.follow(event));
    this.area.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the field keeps the focus
      if (event.target.role === "option") this.take(event.target);
    });
  }

  press(event) {
    const options = [...this.list.children];
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      this.open();
    } else if (!this.list.hidden && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : options.length - 1;
      this.choose(options[(options.indexOf(this.chosen) + step) % options.length]);
    } else if (!this.list.hidden && (event.key === "Enter" || event.key === "Tab")) {
      event.preventDefault();
      this.take(this.chosen);
    } else if (event.key === "Escape") {
      this.leaving = this.list.hidden;
      this.close();
    } else if (event.key === "Tab" && !event.shiftKey && !this.leaving) {
      event.preventDefault();
      this.insert(this.area.selectionStart, this.area.selectionEnd, INDENT);
    } else if (event.key === "Enter") {
      const line = this.area.value.slice(0, this.area.selectionStart).split("\n").at(-1);
      const indent = line.match(/^ */)[0] + (/[[{]\s*$/.test(line) ? INDENT : "");
      event.preventDefault();
      this.insert(this.area.selectionStart, this.area.selectionEnd, `\n${indent}`);
    } else {
      this.leaving = false;
    }
  }

  follow(event) {
    if (event.data === '"' || !this.list.hidden) this.open();
  }

  async open() {
    this.schema ??= await this.load();
    if (!this.schema) return;
    const place = placeOf(this.area.value, this.area.selectionStart);
    const found = propose(this.schema, place).slice(0, MAX_SHOWN);
    this.start = place.start;
    this.list.replaceChildren(...found.map((text, i) => {
      const option = document.createElement("li");
      option.role = "option";
      option.id = `${this.list.id}-${i}`;
      option.textContent = text;
      return option;
    }));
    this.list.hidden = found.length === 0;
    this.choose(this.list.firstChild);
  }

  async load() {
    const answer = await fetch(this.getAttribute("schema")).catch(() => null); // the server is away
    return answer?.ok ? answer.json() : null;
  }

  choose(option) {
    this.chosen?.setAttribute("aria-selected", "false");
    this.chosen = this.list.hidden ? null : option;
    this.chosen?.setAttribute("aria-selected", "true");
    if (this.chosen) this.area.setAttribute("aria-activedescendant", this.chosen.id);
    else this.area.removeAttribute("aria-activedescendant");
  }

  take(option) {
    const end = this.area.selectionStart;
    const closed = this.area.value[end] === '"' && this.area.value[this.start] === '"' && this.start < end ? 1 : 0;
    const text = option.textContent;
    this.close();
    this.insert(this.start, end + closed, text);
  }

  close() {
    this.list.hidden = true;
    this.choose(null);
  }

  insert(start, end, text) {
    this.area.setRangeText(text, start, end, "end");
    this.area.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
customElements.define("rule-editor", RuleEditor);
