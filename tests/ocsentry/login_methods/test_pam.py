# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``pam`` on its helper, with real modules."""

import asyncio
import socket
from contextlib import asynccontextmanager
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from lab.services.pam import PASSWORD, PamServices
from ocsentry.configuration.sections.pam import PamSection
from ocsentry.errors import OperatorError
from ocsentry.login_methods.context import MethodContext
from ocsentry.login_methods.pam import open_pam
from ocsentry.privileges.pam.client import PamHelper
from ocsentry.privileges.pam.scope import PamScope, PamService
from tests.vpn_frontend.auth.scripted import outcome_of
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.pam.conversation import ConversationError
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, Refused
from vpn_frontend.testing import MemoryDirectory, MemoryEvents

NEW_PASSWORD = "new password"


@pytest.fixture
def services(tmp_path):
    return PamServices(tmp_path)


@asynccontextmanager
async def opened(services):
    """(the method, its helper)"""
    link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    helper = PamHelper(link, services.launch(theirs))
    helper.begin(PamScope((PamService("vpn", 1000),), 600))
    auth = SimpleNamespace(pam=PamSection(service="vpn", timeout=110), timeout=600)
    config = SimpleNamespace(values=SimpleNamespace(auth=auth), auth_of=lambda host: auth)
    context = MethodContext(config, MemoryDirectory(), MemoryEvents(), None, pam=helper)
    try:
        async with open_pam(context) as method:
            yield method, helper
    finally:
        helper.close()


async def log_in(method, user, password=PASSWORD):
    return await outcome_of(method.begin(LoginRequest(user, password, "", ip_address("192.0.2.1"))))


@pytest.mark.asyncio
async def test_a_module_that_hangs_for_one_user_delays_no_other(services, tmp_path):
    script = tmp_path / "script"
    script.write_text('#!/bin/sh\n[ "$PAM_USER" != slow ] || exec sleep 100000\n')
    script.chmod(0o755)
    services.write("vpn", f"auth required pam_exec.so {script}", "auth required matrix", "account required matrix")
    services.allow("alice", "vpn")
    async with opened(services) as (method, _):
        hanging = [asyncio.create_task(log_in(method, "slow")) for _ in range(8)]
        await asyncio.sleep(0)
        assert isinstance(await log_in(method, "alice"), Accepted)
        assert await log_in(method, "alice", "wrong") == Refused(WRONG, "wrong_password")
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


@pytest.mark.asyncio
async def test_an_expired_password_is_changed_by_rounds(services):
    services.write(
        "vpn", "auth required matrix", "account required pam_debug.so acct=new_authtok_reqd", "password required matrix"
    )
    services.allow("alice", "vpn")
    async with opened(services) as (method, _):
        outcome = await log_in(method, "alice")
        asked = []
        for reply in ({"secondary_password": PASSWORD}, {"password": NEW_PASSWORD, "verify_password": NEW_PASSWORD}):
            assert isinstance(outcome, Challenge)
            asked.append([(field.name, field.label) for field in outcome.form.fields])
            outcome = await outcome_of(method.answer(outcome.state, reply))
        assert isinstance(outcome, Accepted)
        assert asked == [
            [("secondary_password", "Old password:")],
            [("new_password", "New Password :"), ("verify_password", "Verify new password:")],
        ]
        assert f"alice:{NEW_PASSWORD}:vpn" in services.passwords.read_text()


@pytest.mark.asyncio
async def test_a_helper_that_is_gone_makes_logins_unavailable_and_the_server_unready(services):
    async with opened(services) as (method, helper):
        assert await helper.check() is None
        helper._process.kill()
        with pytest.raises(ConversationError, match="PAM helper"):
            await log_in(method, "alice")
        while (problem := await helper.check()) is None:  # noqa: ASYNC110 - a failed request may come first
            await asyncio.sleep(0.01)
        assert "is gone" in problem


@pytest.mark.asyncio
async def test_without_a_helper_the_server_does_not_start():
    with pytest.raises(OperatorError, match="helper process"):
        async with open_pam(MethodContext(SimpleNamespace(), MemoryDirectory(), MemoryEvents(), None)):
            pass
