# SPDX-License-Identifier: GPL-3.0-or-later
"""The PAM helper with real modules: conversations to their end, bounds, and what is killed."""

import asyncio
import socket
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from lab.services.pam import PASSWORD, PamServices
from lab.timeouts import TIMEOUT
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.helper.protocol import ProtocolError, parse_packet, receive_message, send_message
from ocsentry.privileges.pam.client import PamHelper
from ocsentry.privileges.pam.scope import PamScope, PamService
from vpn_frontend.auth.pam.conversation import ConversationError, Ended, Phase, Prompt, Question

ADDRESS = ip_address("192.0.2.1")
PASSWORD_PROMPT = Question((Prompt("Password:", echo=False),), ())


@pytest.fixture
def services(tmp_path):
    return PamServices(tmp_path)


class Asked(PamHelper):
    """Opens logins of its one service."""

    async def log_in(self, user):
        return await self.open_conversation(user, ADDRESS, self.service)


def launch(services):
    """(the server's end, the helper's process)"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ours, services.launch(theirs)


@asynccontextmanager
async def helping(services, service, *, gid_min=1000, deadline=600, processes=10, session=""):
    helper = Asked(*launch(services))
    helper.service = PamService(service, gid_min)
    helper.begin(PamScope((helper.service,), deadline, processes, session))
    helper.attach()
    try:
        yield helper
    finally:
        helper.detach()
        helper.close()


async def talk(helper, user, *answers):
    """(the questions, the end) of a conversation with these answers, one for each question."""
    conversation = await helper.log_in(user)
    questions = []
    try:
        waiting = iter(answers)
        while isinstance(said := await conversation.receive(), Question):
            questions.append(said)
            await conversation.answer([next(waiting)])
        return questions, said
    finally:
        conversation.close()


def plain(services, service="vpn"):
    services.write(service, "auth required matrix", "account required matrix", "password required matrix")
    services.allow("alice", service)


@pytest.mark.asyncio
async def test_the_password_decides(services):
    plain(services)
    async with helping(services, "vpn") as helper:
        questions, end = await talk(helper, "alice", PASSWORD)
        assert questions == [PASSWORD_PROMPT]
        assert end == Ended(Phase.DONE, 0, "alice", (), ())
        for user, password in (("alice", "wrong"), ("alice", ""), ("nobody", PASSWORD)):
            _, end = await talk(helper, user, password)
            assert end.phase is Phase.AUTHENTICATE
            assert end.code in {7, 10}


@pytest.mark.asyncio
async def test_an_expired_password_is_changed_in_the_same_conversation(services):
    services.write(
        "vpn",
        "auth required matrix",
        "account required pam_debug.so acct=new_authtok_reqd",
        "password required matrix",
    )
    services.allow("alice", "vpn")
    async with helping(services, "vpn") as helper:
        questions, end = await talk(helper, "alice", PASSWORD, PASSWORD, "new password", "new password")
        assert [prompt.text for question in questions for prompt in question.prompts] == [
            "Password:",
            "Old password:",
            "New Password :",
            "Verify New Password :",
        ]
        assert (end.phase, end.code) == (Phase.PASSWORD, 0) or end.phase is Phase.DONE
        assert "alice:new password:vpn" in services.passwords.read_text()


@pytest.mark.asyncio
async def test_a_change_that_is_refused_ends_the_login(services):
    services.write(
        "vpn",
        "auth required matrix",
        "account required pam_debug.so acct=new_authtok_reqd",
        "password required matrix",
    )
    services.allow("alice", "vpn")
    async with helping(services, "vpn") as helper:
        _, end = await talk(helper, "alice", PASSWORD, PASSWORD, "one", "another")
        assert end.phase is Phase.PASSWORD
        assert end.code != 0
        assert end.user == ""


@pytest.mark.asyncio
@pytest.mark.parametrize(("word", "code"), [("acct_expired", 13), ("perm_denied", 6), ("user_unknown", 10)])
async def test_the_account_phase_refuses(services, word, code):
    services.write("vpn", "auth required matrix", f"account required pam_debug.so acct={word}")
    services.allow("alice", "vpn")
    async with helping(services, "vpn") as helper:
        _, end = await talk(helper, "alice", PASSWORD)
        assert (end.phase, end.code, end.user) == (Phase.ACCOUNT, code, "")


@pytest.mark.asyncio
async def test_a_second_factor_is_a_second_question_and_a_used_code_opens_nothing(services):
    oath = f"auth required pam_oath.so usersfile={services.oath_users} window=5"
    services.write("vpn", "auth requisite matrix", oath, "account required matrix")
    services.allow("alice", "vpn")
    services.enrol("alice")
    code = services.code()
    async with helping(services, "vpn") as helper:
        questions, end = await talk(helper, "alice", PASSWORD, code)
        assert questions[1].prompts == (Prompt("One-time password (OATH) for `alice':", echo=False),)
        assert end.phase is Phase.DONE
        _, end = await talk(helper, "alice", PASSWORD, code)
        assert end.phase is Phase.AUTHENTICATE


@pytest.mark.asyncio
async def test_messages_of_modules_come_with_the_next_thing(services):
    services.write(
        "vpn", "auth optional pam_echo.so Welcome to %h", "auth required matrix", "account required pam_permit.so"
    )
    services.allow("alice", "vpn")
    async with helping(services, "vpn") as helper:
        questions, end = await talk(helper, "alice", PASSWORD)
        assert questions[0].messages[0].startswith("Welcome to ")
        assert end.messages == ()


@pytest.mark.asyncio
async def test_a_module_sees_the_client_and_no_descriptor_of_the_helper(services, tmp_path):
    told = tmp_path / "told"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n(echo $PAM_RHOST $PAM_TTY $PAM_USER $PAM_SERVICE; ls -l /proc/self/fd) >{told}\n")
    script.chmod(0o755)
    services.write("vpn", f"auth required pam_exec.so {script}", "account required pam_permit.so")
    async with helping(services, "vpn") as helper:
        _, end = await talk(helper, "alice")
        assert end.phase is Phase.DONE
    first, *descriptors = told.read_text().splitlines()
    assert first == "192.0.2.1 vpn alice vpn"
    assert not [line for line in descriptors if "socket" in line or "pidfd" in line]


def descriptors_of_children(number):
    """What the descriptors of each child of a process are."""
    children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    return [[str(place.readlink()) for place in Path(f"/proc/{child}/fd").iterdir()] for child in children]


@pytest.mark.asyncio
async def test_a_conversation_has_no_descriptor_of_another(services):
    plain(services)
    async with helping(services, "vpn") as helper:
        opened = [await helper.log_in("alice") for _ in range(3)]
        for conversation in opened:
            await conversation.receive()
        found = descriptors_of_children(helper._process.pid)
        assert len(found) == 3
        for targets in found:
            assert sum("socket" in target for target in targets) == 1
            assert not [target for target in targets if "pidfd" in target]


@pytest.mark.asyncio
async def test_an_unknown_service_is_refused_by_other(services):
    async with helping(services, "vpn") as helper:
        _, end = await talk(helper, "alice")
        assert end.phase in {Phase.START, Phase.AUTHENTICATE}
        assert end.code != 0


def hang(services, tmp_path, service="vpn"):
    """A service whose module starts a program that never ends; returns the file that gets the program's pid."""
    pids = tmp_path / "pids"
    script = tmp_path / "hang"
    script.write_text(f"#!/bin/sh\necho $$ >>{pids}\nexec sleep 100000\n")
    script.chmod(0o755)
    services.write(service, f"auth required pam_exec.so {script}", "account required pam_permit.so")
    return pids


async def until(condition):
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


async def pid_of(pids):
    await until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    return int(pids.read_text().split()[-1])


@pytest.mark.asyncio
async def test_closing_a_conversation_kills_its_module_and_what_that_started(services, tmp_path):
    pids = hang(services, tmp_path)
    async with helping(services, "vpn") as helper:
        conversation = await helper.log_in("alice")
        pid = await pid_of(pids)
        conversation.close()
        await until(lambda: is_gone(pid))


@pytest.mark.asyncio
async def test_the_helper_kills_what_takes_longer_than_the_deadline(services, tmp_path):
    pids = hang(services, tmp_path)
    async with helping(services, "vpn", deadline=1) as helper:
        conversation = await helper.log_in("alice")
        with pytest.raises(ConversationError, match="ended"):
            await conversation.receive()
        pid = await pid_of(pids)
        await until(lambda: is_gone(pid))


@pytest.mark.asyncio
async def test_the_end_of_the_helper_ends_its_conversations(services):
    plain(services)
    async with helping(services, "vpn") as helper:
        conversation = await helper.log_in("alice")
        await conversation.receive()
        helper._process.kill()
        with pytest.raises(ConversationError, match=r"ended|does not answer"):
            await conversation.receive()
        with pytest.raises(ConversationError, match="PAM helper"):
            await helper.log_in("bob")


@pytest.mark.asyncio
async def test_conversations_beside_a_hanging_one_are_bounded_and_go_on(services):
    plain(services)
    async with helping(services, "vpn") as helper:
        opened = [await helper.log_in("alice") for _ in range(10)]
        with pytest.raises(ConversationError, match="too many"):
            await helper.log_in("alice")
        await opened[7].receive()
        await opened[7].answer([PASSWORD])
        assert (await opened[7].receive()).phase is Phase.DONE
        for conversation in opened:
            conversation.close()

        async def again():
            try:
                return (await talk(helper, "alice", PASSWORD))[1]
            except ConversationError:
                return None

        async with asyncio.timeout(TIMEOUT):
            while (end := await again()) is None:
                pass
        assert end.phase is Phase.DONE


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"verb": "exec", "id": 1}, "no such verb"),
        ({"verb": "pam", "id": "1", "user": "a", "address": "192.0.2.1"}, "no such verb"),
        ({"verb": "pam", "id": 1, "user": "", "address": "192.0.2.1"}, "user name"),
        ({"verb": "pam", "id": 1, "user": "a\0b", "address": "192.0.2.1"}, "user name"),
        ({"verb": "pam", "id": 1, "user": "x" * 65, "address": "192.0.2.1"}, "user name"),
        ({"verb": "pam", "id": 1, "user": 7, "address": "192.0.2.1"}, "user name"),
        ({"verb": "pam", "id": 1, "user": "a", "address": "host; rm", "service": "vpn", "gid_min": 0}, "address"),
        ({"verb": "pam", "id": 1, "user": "a", "address": "192.0.2.1", "service": "sshd"}, "no such service"),
        (
            {"verb": "pam", "id": 1, "user": "a", "address": "192.0.2.1", "service": "vpn", "gid_min": 7},
            "no such service",
        ),
        ({"verb": "session", "id": 1, "user": "a", "session": "1"}, "no sessions of PAM"),
    ],
    ids=["verb", "id", "empty", "nul", "long", "number", "address", "service", "gid", "session"],
)
def test_requests_outside_the_scope_are_refused(services, request_, told):
    link, process = launch(services)
    with link:
        send_message(link, {"scope": PamScope((PamService("vpn", 0),), 60).render()})
        assert receive_message(link)[0] == {"ok": True}
        send_message(link, request_)
        answer, descriptors = receive_message(link)
        assert told in answer["error"]
        assert descriptors == ()
    assert process.wait(TIMEOUT) == 0


def test_a_helper_that_cannot_start_says_why(services, tmp_path):
    path = tmp_path / "ocsentry.toml"
    path.write_text("")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = services.launch(theirs, path)
    with pytest.raises(PrivilegeError, match="pam is not among them"):
        PamHelper(ours, process).begin(PamScope((PamService("vpn", 0),), 60))
    assert process.returncode == 0


@pytest.mark.parametrize("packet", [b"{", b"[]", b"\xff", b"[" * 60_000, b'{"a": ' * 9_000], ids=range(5))
def test_packets_that_are_no_messages_are_errors(packet):
    with pytest.raises(ProtocolError):
        parse_packet(packet)
