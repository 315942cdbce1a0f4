# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator does with forms alone, without JavaScript."""

from __future__ import annotations

import base64
import html
import json
import re

import pytest

from tests.admin_api.conftest import CALLER
from vpn_frontend.auth.totp.codes import code_at, step_at

pytestmark = pytest.mark.asyncio


def field(text, name):
    """Returns the value of a hidden field or text area of the page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', text) or re.search(rf'name="{name}"[^>]*>([^<]*)</text', text)
    assert found is not None, name
    return html.unescape(found[1])


async def test_a_block_is_previewed_made_and_undone(server, signed_in, view):
    server.sessions.add(view())
    form = {"address": "198.51.100.7", "prefix": "24", "ttl": "600", "reason": "Guessing"}
    preview = await signed_in.send("/blocks/new", step="preview", **form)
    assert "1 session would end: alice (198.51.100.7)" in " ".join(preview.text.split())
    assert len(server.enforcement.blocks) == 0
    made = await signed_in.send("/blocks/new", step="block", **form)
    assert "The block is in force" in made.text
    assert "198.51.100.0/24" in made.text
    undo = re.search(r'action="/console(/blocks/[^"]+/lift)"', made.text)
    assert undo is not None
    assert "The block is lifted" in (await signed_in.send(undo[1])).text
    assert len(server.enforcement.blocks) == 0


async def test_a_block_of_ones_own_address_wants_it_typed(server, signed_in):
    form = {"address": CALLER, "prefix": "32", "ttl": "", "reason": "", "step": "block"}
    refused = await signed_in.send("/blocks/new", **form)
    assert refused.status_code == 409
    assert f"type <code>{CALLER}/32</code>" in refused.text
    assert "The block is in force" in (await signed_in.send("/blocks/new", **form, confirmation=f"{CALLER}/32")).text


async def test_what_is_no_network_is_told_beside_the_form(signed_in):
    refused = await signed_in.send("/blocks/new", address="somewhere", step="block")
    assert refused.status_code == 422
    assert 'value="somewhere"' in refused.text


async def test_rules_are_checked_applied_on_trial_and_kept(signed_in):
    page = await signed_in.get("/rules/edit")
    document = json.loads(field(page.text, "document"))
    document["wolfsentry"]["rules"].append({"id": "mine", "type": "blacklist", "remote_addr": "198.51.100.0/24"})
    form = {"etag": field(page.text, "etag"), "document": json.dumps(document), "confirm_within": "60"}
    for step, said in (("check", "The rules are valid"), ("simulate", "recorded decisions would change")):
        assert said in (await signed_in.send("/rules/edit", step=step, **form)).text
    assert "mine" not in (await signed_in.get("/rules")).text
    applied = await signed_in.send("/rules/edit", step="apply", **form)
    assert "is on trial" in applied.text
    assert "mine" in applied.text
    assert "is on trial" in (await signed_in.get("/users")).text  # every page says so
    assert "The policy stays" in (await signed_in.send("/policy/confirm")).text
    stale = await signed_in.send("/rules/edit", step="apply", **form)
    assert stale.status_code == 412
    back = await signed_in.send("/policy/rollback")
    assert "The earlier policy is in force" in back.text


async def test_rules_with_errors_are_told_with_their_place(signed_in):
    page = await signed_in.get("/rules/edit")
    wrong = json.dumps({"wolfsentry": {"version": "1.6.3", "rules": [{"id": "x", "type": "nonsense"}]}})
    answer = await signed_in.send("/rules/edit", etag=field(page.text, "etag"), document=wrong, step="check")
    assert "/rules/0" in answer.text
    assert "This is not JSON" in (await signed_in.send("/rules/edit", document="{", step="apply")).text


async def test_a_user_is_added_changed_and_gets_a_second_factor(server, signed_in):
    made = await signed_in.send("/users/new", name="bob", password="correct horse", groups="staff, ops")
    assert "The user is created" in made.text
    changed = await signed_in.send(
        "/users/bob", etag=field(made.text, "etag"), groups="ops", enabled="yes", max_same_clients="2", note="A note"
    )
    assert "The user is changed" in changed.text
    bob = (await server.client.get("/api/v1/users/bob")).json()
    assert (bob["groups"], bob["max_same_clients"], bob["note"], bob["enabled"]) == (["ops"], 2, "A note", True)
    enrolled = await signed_in.send("/users/bob/totp")
    secret = re.search(r"Secret: <code[^>]*>([A-Z2-7]+)<", enrolled.text)
    assert secret is not None
    assert 'src="data:image/svg+xml;base64,' in enrolled.text
    now = server.services.clock.wall().timestamp()
    code = code_at(base64.b32decode(secret[1]), step_at(now))
    confirmed = await signed_in.send("/users/bob/totp/confirm", code=f"{code[:3]} {code[3:]}")
    assert "The second factor is active" in confirmed.text
    assert "The second factor is removed" in (await signed_in.send("/users/bob/totp/reset")).text


async def test_a_refused_user_keeps_what_was_typed_but_the_password(signed_in):
    await signed_in.send("/users/new", name="bob", password="correct horse")
    again = await signed_in.send("/users/new", name="bob", password="correct horse", groups="staff")
    assert again.status_code == 409
    assert 'value="staff"' in again.text
    assert "correct horse" not in again.text


async def test_a_token_is_shown_once_and_revoked(server, signed_in):
    made = await signed_in.send("/tokens", name="grafana", role="viewer", days="7")
    token = re.search(r"ocs_([0-9a-f]{12})_[0-9a-f]{64}", made.text)
    assert token is not None
    assert token[0] not in (await signed_in.get("/tokens")).text
    assert "The token is revoked" in (await signed_in.send(f"/tokens/{token[1]}/revoke")).text


async def test_an_address_is_allowed_for_an_hour(server, signed_in):
    await signed_in.send("/addresses/192.0.2.70/allow")
    explained = (await server.client.get("/api/v1/explain", params={"address": "192.0.2.70"})).json()
    assert explained["verdict"]["rule_id"].startswith("allow_")
    assert "allow_" in (await signed_in.get("/rules")).text


async def test_the_search_field_finds_addresses_and_users(signed_in):
    assert (await signed_in.get("/addresses", address="198.51.100.7")).url.path == "/console/addresses/198.51.100.7"
    assert (await signed_in.get("/addresses", address="alice")).url.path == "/console/sessions"


async def test_events_come_as_arrays_with_what_was_missed(server, signed_in):
    hub = server.services.events
    hub.emit("login_refused", address="198.51.100.7", user="<b>")
    headers = {"Last-Event-ID": "1-1"}
    hub.close()
    answer = await signed_in.client.get("/console/live/stream", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    arrays = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]
    events = [event for array in arrays for event in array]
    assert events[0]["kind"] == "gap"
    assert events[-1]["fields"]["user"] == "<b>"
    assert re.search(r"^id: \d+-\d+$", answer.text, re.MULTILINE)


async def test_a_receiver_of_events_is_added_tested_paused_and_removed(server, signed_in):
    refused = await signed_in.send("/webhooks", url="ftp://hooks.example.org/")
    assert refused.status_code == 422
    assert 'value="ftp://hooks.example.org/"' in refused.text
    made = await signed_in.send("/webhooks", url="https://hooks.example.org/", kinds="login_refused, block_added")
    secret = re.search(r"whsec_[\w+/=]+", made.text)
    assert secret is not None
    path = re.search(r'href="/console(/webhooks/[^"]+)"', made.text)
    assert path is not None
    page = await signed_in.get(path[1])
    assert secret[0] not in page.text
    assert "login_refused, block_added" in page.text
    assert "webhook_test" in (await signed_in.send(f"{path[1]}/test")).text
    paused = await signed_in.send(f"{path[1]}/switch", etag=field(page.text, "etag"), enabled="no")
    assert "Events are no longer sent" in paused.text
    stale = await signed_in.send(f"{path[1]}/remove", etag=field(page.text, "etag"))
    assert stale.status_code == 412
    removed = await signed_in.send(f"{path[1]}/remove", etag=field(paused.text, "etag"))
    assert "No program gets events" in removed.text
    async with server.store.read() as unit:
        assert await unit.webhooks.read_all() == []


async def test_a_setting_is_tried_changed_and_taken_back(signed_in):
    page = await signed_in.get("/settings/log.level")
    form = {"etag": field(page.text, "etag"), "value": "debug"}
    tried = await signed_in.send("/settings/log.level", step="check", **form)
    assert "It would be in force at once" in tried.text
    assert field(tried.text, "value") == "debug"
    changed = await signed_in.send("/settings/log.level", step="change", **form)
    assert "The setting is in force" in changed.text
    assert "an override" in (await signed_in.get("/settings", origin="api")).text
    assert (await signed_in.send("/settings/log.level", step="change", **form)).status_code == 412
    page = await signed_in.get("/settings/log.level")
    await signed_in.send("/settings/log.level", step="reset", etag=field(page.text, "etag"), value="")
    assert "No setting is like that" in (await signed_in.get("/settings", origin="api")).text


async def test_a_setting_that_is_not_there_is_told(signed_in):
    assert (await signed_in.get("/settings/vpn.nothing")).status_code == 404
