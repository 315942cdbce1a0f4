// SPDX-License-Identifier: GPL-3.0-or-later
// <live-feed src addresses kind text>: the latest events of a stream of batches, newest first.
// Memory and work are bounded: ROWS are kept, and they are drawn at most once in DRAW_TIME.

const ROWS = 200;
const DRAW_TIME = 100; // milliseconds

class LiveFeed extends HTMLElement {
  connectedCallback() {
    this.rows = [];
    this.fresh = 0;
    this.total = 0;
    this.paused = false;
    this.state = document.createElement("div");
    this.state.className = "feed-state";
    this.status = document.createElement("span");
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.textContent = "Pause";
    this.button.setAttribute("aria-pressed", "false");
    this.button.addEventListener("click", () => this.pause(!this.paused));
    this.state.append(this.button, this.status);
    this.list = document.createElement("ol");
    this.list.className = "feed";
    const log = document.createElement("div");
    log.setAttribute("role", "log");
    log.setAttribute("aria-live", "off"); // a reader would never get to the end of the news
    log.setAttribute("aria-label", "Events");
    log.append(this.list);
    this.list.addEventListener("pointerenter", () => { this.hovered = true; });
    this.list.addEventListener("pointerleave", () => { this.hovered = false; this.schedule(); });
    this.replaceChildren(this.state, log);
    this.open();
    this.tell();
  }

  disconnectedCallback() {
    this.source?.close();
    clearTimeout(this.timer);
  }

  open() {
    this.source = new EventSource(this.getAttribute("src"));
    this.source.addEventListener("message", (message) => this.take(JSON.parse(message.data)));
    this.source.addEventListener("full", () => { this.problem = "too many viewers; this one waits"; this.tell(); });
    this.source.addEventListener("open", () => { this.problem = ""; this.tell(); });
    this.source.addEventListener("error", () => { this.problem = "the stream broke off; it is opened again"; this.tell(); });
  }

  pause(paused) {
    this.paused = paused;
    this.button.textContent = paused ? "Go on" : "Pause";
    this.button.setAttribute("aria-pressed", String(paused));
    this.schedule();
    this.tell();
  }

  take(events) {
    const kind = this.getAttribute("kind");
    const text = this.getAttribute("text").toLowerCase();
    for (const event of events) {
      this.total += 1;
      if (kind && event.kind !== kind && event.kind !== "gap") continue;
      if (text && !JSON.stringify(event).toLowerCase().includes(text)) continue;
      this.rows.push(event);
      this.fresh += 1;
    }
    if (this.rows.length > ROWS) this.rows.splice(0, this.rows.length - ROWS);
    this.schedule();
  }

  schedule() {
    this.timer ??= setTimeout(() => { this.timer = undefined; this.draw(); }, DRAW_TIME);
  }

  draw() {
    this.tell();
    if (this.paused || this.hovered || !this.fresh) return;
    const added = this.rows.slice(-Math.min(this.fresh, ROWS)).reverse().map((event) => this.row(event));
    this.fresh = 0;
    this.list.prepend(...added);
    while (this.list.childElementCount > ROWS) this.list.lastElementChild.remove();
  }

  row(event) {
    const item = document.createElement("li");
    const at = document.createElement("time");
    at.dateTime = event.at;
    at.textContent = event.at.slice(11, 19);
    const kind = document.createElement("strong");
    kind.textContent = event.kind.replaceAll("_", " ");
    const facts = document.createElement("span");
    if (event.kind === "gap") {
      item.className = "missed";
      facts.textContent = `missed ${event.fields.missed ?? "some"}`;
    } else {
      this.describe(facts, event.fields);
    }
    item.append(at, kind, facts);
    return item;
  }

  describe(facts, fields) {
    for (const [name, value] of Object.entries(fields)) {
      if (value === null || value === "") continue;
      const shown = typeof value === "object" ? JSON.stringify(value) : String(value);
      if (facts.childNodes.length) facts.append("  ");
      facts.append(`${name} `);
      if (name === "address") {
        const link = document.createElement("a");
        link.href = this.getAttribute("addresses") + encodeURIComponent(shown);
        link.textContent = shown;
        facts.append(link);
      } else {
        facts.append(shown);
      }
    }
  }

  tell() {
    const waiting = this.paused || this.hovered ? `, ${this.fresh} wait` : "";
    this.status.textContent = this.problem || `${this.total} events${waiting}`;
  }
}
customElements.define("live-feed", LiveFeed);
