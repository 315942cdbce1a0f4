# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser in a network namespace: Debian's chromium, driven by Playwright."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from playwright.sync_api import sync_playwright

from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import BrowserContext, ConsoleMessage, Page

    from lab.namespaces import Namespace

CHROMIUM = "/usr/bin/chromium"
# As root chromium has no sandbox of its own; it sees the pages of the lab's server only.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
ABORTED = "Failed to fetch"  # a request that ends because its page is left


@dataclass
class Browser:
    """``complaints``: what pages wrote to the console and raised, such as violations of their content policy."""

    page: Page
    complaints: list[str] = field(default_factory=list)


@contextmanager
def open_browser(namespace: Namespace, *, scheme: Literal["light", "dark"] = "light") -> Iterator[Browser]:
    """Yields a browser with one page. ``scheme``: the colours that it prefers."""
    with namespace.entered():
        driver = sync_playwright().start()
        program = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    try:
        yield _watch(program.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme))
    finally:
        program.close()
        driver.stop()


def _watch(context: BrowserContext) -> Browser:
    context.set_default_timeout(TIMEOUT * 1000)
    browser = Browser(context.new_page())

    def note(text: str) -> None:
        if ABORTED not in text:
            browser.complaints.append(text)

    def note_message(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            note(f"{message.text} [{message.location['url']}]")

    browser.page.on("pageerror", lambda error: note(str(error)))
    browser.page.on(
        "console", lambda message: note(_describe(message)) if message.type in ("error", "warning") else None
    )
    return browser


def _describe(message: ConsoleMessage) -> str:
    return f"{message.text} [{message.location['url']}]"
