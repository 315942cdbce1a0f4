// SPDX-License-Identifier: GPL-3.0-or-later
// What every page has: the menu of narrow windows, outputs beside sliders, and the countdown of a policy on trial.

const narrow = matchMedia("(max-width: 48rem)");
const menu = document.querySelector(".menu");
const foldMenu = () => { if (menu) menu.open = !narrow.matches; };
narrow.addEventListener("change", foldMenu);
foldMenu();

document.addEventListener("input", (event) => {
  const shown = event.target.dataset?.shown;
  if (shown) document.getElementById(shown).textContent = `/${event.target.value}`;
});

// Shows the seconds that are left until the time in `until`, and reloads the page when they are over.
class CountDown extends HTMLElement {
  connectedCallback() {
    this.end = Date.parse(this.getAttribute("until"));
    this.timer = setInterval(() => this.draw(), 250);
    this.draw();
  }

  disconnectedCallback() {
    clearInterval(this.timer);
  }

  draw() {
    const left = Math.ceil((this.end - Date.now()) / 1000);
    if (left > 0) {
      this.textContent = `in ${left} s`;
    } else {
      clearInterval(this.timer);
      this.textContent = "now";
      setTimeout(() => location.replace(location.pathname), 1500);
    }
  }
}
customElements.define("count-down", CountDown);
