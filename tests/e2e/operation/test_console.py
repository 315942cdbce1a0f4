# SPDX-License-Identifier: GPL-3.0-or-later
"""The console in a real browser, with real clients.

host 1 10.77.1.2 (openconnect) ── gateway 10.77.0.1, `ocsentry serve` and the browser
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from lab.clients.api import ADMIN_PORT
from lab.clients.chromium import open_browser
from lab.processes.programs import Program
from lab.timeouts import TIMEOUT

BASE = f"http://127.0.0.1:{ADMIN_PORT}/console"
TRIAL = "5"  # seconds
PAGES = (
    "/",
    "/live",
    "/sessions",
    "/sessions/history",
    "/addresses/10.77.1.2",
    "/blocks",
    "/blocks/new?address=10.77.1.2",
    "/penalties",
    "/rules",
    "/rules/edit",
    "/policy/versions",
    "/users",
    "/users/new",
    "/users/alice",
    "/groups",
    "/feeds",
    "/audit",
    "/tokens",
    "/health",
    "/places",
    "/first-steps",
    "/webhooks",
    "/settings",
    "/settings/log.level",
    "/components",
    "/nodes",
)
WIDTHS = (360, 768, 1280)
PICTURE = os.environ.get("OCSENTRY_PICTURE")  # a file for a picture of the address that was blocked
PICTURES = os.environ.get("OCSENTRY_PICTURES")  # a folder for pictures of every page in both themes
# The tags of elements that can be operated; of a radio group the one that is chosen. A page may renew a part of itself.
OPERABLE = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
  .filter(one => one.checkVisibility() && one.type != 'hidden' && !one.disabled && (one.type != 'radio' || one.checked))
  .map(one => one.cloneNode(false).outerHTML)"""
FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  if (one == document.body) return null;
  return style.outlineStyle == 'none' || !parseFloat(style.outlineWidth) ? 'no mark' : one.cloneNode(false).outerHTML;
}"""
expect.set_options(timeout=TIMEOUT * 1000)


def sign_in(server, page):
    link = json.loads(server.cli("console", "--name", "ana", "--json"))
    page.goto(link["url"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_connect_see_block_read_why_and_undo(lab):
    server = lab.serve()
    host = lab.host()
    with open_browser(lab.network.gateway) as browser:
        page = browser.page
        sign_in(server, page)
        page.get_by_role("link", name="Sessions", exact=True).click()
        expect(page.get_by_text("No client is connected")).to_be_visible()
        client = server.connect(host)
        client.await_up()
        expect(page.get_by_role("row", name=re.compile("alice"))).to_be_visible()  # by itself

        page.get_by_role("link", name=f"Block {host.ipv4}").click()
        page.get_by_label("Reason").fill("A test")
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("status", name="Preview")).to_contain_text(f"1 session would end: alice ({host.ipv4})")
        page.get_by_role("button", name="Block", exact=True).click()
        expect(page.get_by_text("The block is in force")).to_be_visible()
        client.await_exit()

        page.goto(f"{BASE}/addresses/{host.ipv4}")
        expect(page.get_by_role("img", name=re.compile("reject"))).to_be_visible()
        expect(page.get_by_text("▲ decided here")).to_have_count(1)
        expect(page.get_by_text("login accepted").first).to_be_visible()
        if PICTURE:
            page.screenshot(path=PICTURE)
        page.get_by_role("button", name=f"Lift the block of {host.ipv4}/32").click()
        expect(page.get_by_text("The block is lifted")).to_be_visible()
        server.connect(host).await_up()
        assert browser.complaints == []


def test_sign_in_at_a_provider(lab, tmp_path):
    users = [
        {"sub": "1", "preferred_username": "dora", "groups": ["desk"]},
        {"sub": "2", "preferred_username": "eve", "groups": []},
    ]
    claims = [word for user in users for word in ("--user-claims", json.dumps(user))]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", "9400", "--host", "127.0.0.1", *claims]
    provider = Program("provider", command, lab.network.gateway)
    lab.network.programs.append(provider)
    provider.await_line("(?i)uvicorn running|startup complete")
    secret = tmp_path / "console.secret"
    secret.write_text("the client's secret\n")
    oidc = {
        "issuer": "http://127.0.0.1:9400",
        "client_id": "console",
        "client_secret_file": str(secret),
        "label": "Example ID",
        "operators": ["desk"],
    }
    server = lab.serve(settings={"admin.oidc": oidc})
    client = server.connect(lab.host())
    client.await_up()
    [session] = server.sessions()
    with open_browser(lab.network.gateway) as browser:
        page = browser.page
        for person, ends_at in (("2", "eve is in none of the groups"), ("1", "dora")):
            page.goto(f"{BASE}/sessions/{session['id']}")
            page.get_by_role("link", name="Sign in with Example ID").click()
            page.get_by_placeholder("sub").fill(person)
            page.get_by_role("button", name="Authorize", exact=True).click()
            expect(page.get_by_text(ends_at).first).to_be_visible()
        expect(page).to_have_url(f"{BASE}/sessions/{session['id']}")  # where the person wanted to go
        page.get_by_label("Reason").fill("A test")
        page.get_by_role("button", name="End it").click()
        client.await_exit()
        [complaint] = [one for one in browser.complaints if BASE in one]  # not those of the provider's pages
        assert "/console/sign-in/provider/finish" in complaint, "the browser tells of the answer 403 to eve"
    actors = {entry["actor"].partition("#")[0] for entry in server.api.get("/api/v1/audit?limit=10")["items"]}
    assert "console:dora" in actors


def test_edit_simulate_apply_and_let_the_time_run_out(lab):
    server = lab.serve()
    rule = {"id": "no_tests", "type": "blacklist", "remote_addr": "198.51.100.0/24"}
    with open_browser(lab.network.gateway) as browser:
        page = browser.page
        sign_in(server, page)
        page.goto(f"{BASE}/rules/edit")
        editor = page.get_by_label("Rule document")
        document = json.loads(editor.input_value())
        editor.fill('{"wolfsentry": {"rules": [{"type": ')
        editor.press_sequentially('"')
        expect(page.get_by_role("option", selected=True)).to_have_text('"auth_limit"')
        editor.press("ArrowDown")
        editor.press("Enter")
        editor.press_sequentially(', "remote')
        editor.press("Control+Space")
        expect(page.get_by_role("option")).to_have_text(['"remote_addr"'])
        editor.press("Tab")
        assert editor.input_value().endswith('{"type": "blacklist", "remote_addr"')
        editor.fill("{")
        expect(page.get_by_text("This is not JSON")).to_be_visible()  # while it is typed
        document["wolfsentry"]["rules"].append(rule)
        editor.fill(json.dumps(document, indent=2))
        expect(page.get_by_text("The rules are valid")).to_be_visible()
        page.get_by_role("button", name="Simulate").click()
        expect(page.get_by_text(re.compile("recorded decisions would change"))).to_be_visible()
        page.get_by_label("On trial for").fill(TRIAL)
        page.get_by_role("button", name="Apply on trial").click()
        expect(page.get_by_text("is on trial")).to_be_visible()
        expect(page.get_by_role("link", name="no_tests")).to_be_visible()
        page.reload()
        expect(page.get_by_text("is on trial")).to_be_visible()
        expect(page.get_by_role("link", name="no_tests")).to_be_hidden()  # the page comes back after the countdown
        expect(page.get_by_text("is on trial")).to_be_hidden()
        assert browser.complaints == []


def walk_by_keyboard(page) -> set[str]:
    """What the Tab key reaches from the top of the page. Escape lets it leave an editor in which it indents."""
    reached: set[str] = set()
    page.evaluate("document.activeElement.blur()")
    for _ in range(200):
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        tag = page.evaluate(FOCUSED)
        if tag is None:
            break
        reached.add(tag)
    return reached


def test_every_page_is_accessible_in_both_themes_and_fits_narrow_windows(lab):
    server = lab.serve(rules=[{"id": "no_lab", "type": "blacklist", "remote_addr": "198.51.100.0/24"}])
    clients = [server.connect(lab.host(), user=user) for user in ("alice", "bob")]
    stranger = lab.host()
    server.api.block(f"{stranger.ipv4}/32", "Password guessing")
    for client in clients:
        client.await_up()
    server.connect(stranger).await_exit()
    axe = Axe()
    found = {}
    for scheme in ("light", "dark"):
        with open_browser(lab.network.gateway, scheme=scheme) as browser:
            page = browser.page
            sign_in(server, page)
            for path in PAGES:
                page.goto(BASE + path)
                results = axe.run(page)
                if results.violations_count:
                    found[scheme, path] = [violation["id"] for violation in results.response["violations"]]
                if path == "/":
                    expect(page.get_by_role("link", name=str(stranger.ipv4))).to_be_visible()  # refused lately
                if scheme == "light":
                    wanted, reached = set(page.evaluate(OPERABLE)), walk_by_keyboard(page)
                    if "no mark" in reached or wanted - reached:
                        found[path, "keyboard"] = sorted(wanted - reached)
                if PICTURES:
                    page.screenshot(path=Path(PICTURES) / f"{scheme}{path.replace('/', '_').partition('?')[0]}.png")
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 900})
                    if page.evaluate("document.documentElement.scrollWidth") > width:
                        found[scheme, path, width] = "wider than the window"
            assert browser.complaints == []
    assert found == {}
