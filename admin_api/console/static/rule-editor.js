// SPDX-License-Identifier: GPL-3.0-or-later
// <rule-editor><textarea></textarea></rule-editor>: Tab indents (Escape, then Tab leaves the field), Enter keeps the
// indentation. The text is checked by the server while it is typed.

const INDENT = "  ";

class RuleEditor extends HTMLElement {
  connectedCallback() {
    this.leaving = false;
    this.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    const area = event.target;
    if (event.key === "Escape") {
      this.leaving = true;
    } else if (event.key === "Tab" && !event.shiftKey && !this.leaving) {
      event.preventDefault();
      this.insert(area, INDENT);
    } else if (event.key === "Enter") {
      const line = area.value.slice(0, area.selectionStart).split("\n").at(-1);
      const indent = line.match(/^ */)[0] + (/[[{]\s*$/.test(line) ? INDENT : "");
      event.preventDefault();
      this.insert(area, `\n${indent}`);
    } else {
      this.leaving = false;
    }
  }

  insert(area, text) {
    area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
customElements.define("rule-editor", RuleEditor);
