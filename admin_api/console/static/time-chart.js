// SPDX-License-Identifier: GPL-3.0-or-later
// <time-chart src series label [rate]>: lines over time, drawn by uPlot. `series` names columns of GET /stats.
// `rate`: the columns count since the start, so each value is the difference to the one before, a second.

const REFRESH = 10_000; // milliseconds
const HEIGHT = 160;
const SPAN = 3600; // seconds shown
const clock = (seconds) => new Date(seconds * 1000).toTimeString().slice(0, 5);
const DASHES = [[], [6, 4], [2, 3]];

class TimeChart extends HTMLElement {
  connectedCallback() {
    this.names = this.getAttribute("series").split(",");
    const title = document.createElement("p");
    title.className = "title";
    title.textContent = this.getAttribute("label");
    this.area = document.createElement("div");
    this.replaceChildren(title, this.area);
    this.timer = setInterval(() => this.load(), REFRESH);
    this.watcher = new ResizeObserver(() => this.plot?.setSize({ width: this.clientWidth, height: HEIGHT }));
    this.watcher.observe(this);
    this.themes = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => this.load();
    this.themes.addEventListener("change", this.redraw);
    this.load();
  }

  disconnectedCallback() {
    clearInterval(this.timer);
    this.watcher.disconnect();
    this.themes.removeEventListener("change", this.redraw);
    this.plot?.destroy();
  }

  async load() {
    const asked = fetch(this.getAttribute("src"), { headers: { Accept: "application/json" } });
    const answer = await asked.catch(() => null); // the server is away, or the page is left
    if (!answer?.ok) return;
    const stats = await answer.json();
    const at = stats.at.map((text) => Date.parse(text) / 1000);
    this.draw([at, ...this.names.map((name) => this.column(stats, name, at))]);
  }

  column(stats, name, at) {
    const values = stats.gauges[name] ?? stats.counters[name] ?? at.map(() => 0);
    if (!this.hasAttribute("rate")) return values;
    return values.map((value, i) => (i ? Math.max(0, value - values[i - 1]) / (at[i] - at[i - 1]) : 0));
  }

  draw(data) {
    const at = data[0].at(-1) ?? Date.now() / 1000;
    const style = getComputedStyle(this);
    const colour = (name) => style.getPropertyValue(name).trim();
    const colours = [colour("--accent"), colour("--bad"), colour("--warn")];
    this.plot?.destroy();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
    this.plot = new uPlot({
      width: this.clientWidth || 300,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: true, y: false } },
      scales: { x: { range: () => [at - SPAN, at] }, y: { range: (_, low, high) => [0, Math.max(1, high ?? 1)] } },
      axes: [{ ...axis, values: (_, times) => times.map(clock) }, { ...axis, size: 48 }],
      series: [{}, ...this.names.map((name, i) => ({ label: name, stroke: colours[i], dash: DASHES[i], width: 2 }))],
    }, data, this.area);
    this.setAttribute("role", "img");
    const last = this.names.map((name, i) => `${name.replaceAll("_", " ")} ${(data[i + 1].at(-1) ?? 0).toFixed(1)}`);
    this.setAttribute("aria-label", `${this.getAttribute("label")}, now: ${last.join(", ")}`);
  }
}
customElements.define("time-chart", TimeChart);
