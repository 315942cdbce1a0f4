# SPDX-License-Identifier: GPL-3.0-or-later
"""The GSSAPI helper with a real KDC: tickets that it accepts, each way that one is refused, and its own end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import gssapi
import pytest

from lab.processes.shifted_clock import ShiftedClock
from lab.services.kdc import HOST, REALM, Kdc
from lab.timeouts import eventually
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.gssapi.client import GssapiHelper
from ocsentry.privileges.gssapi.scope import GssapiScope
from vpn_frontend.auth.gssapi.acceptor import AcceptorError, TicketAccepted, TokenRefused, TokenWanted

SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
NTLM = b"NTLMSSP\x00\x01\x00\x00\x00" + bytes(24)
DCE_STYLE = 0x1000  # GSS_C_DCE_STYLE: the client sends a second token
MUTUAL = int(gssapi.RequirementFlag.mutual_authentication)


@pytest.fixture(scope="module")
def kdc(tmp_path_factory):
    kdc = Kdc(tmp_path_factory.mktemp("kdc"))
    kdc.add_user("alice")
    kdc.add_service()
    kdc.add_service(f"host/{HOST}", keytab="host.keytab")
    with kdc.running(), pytest.MonkeyPatch.context() as patch:
        for name, value in kdc.log_in("alice").items():
            patch.setenv(name, value)
        yield kdc


def client(service="HTTP", flags=MUTUAL, mech=SPNEGO):
    name = gssapi.Name(f"{service}@{HOST}", gssapi.NameType.hostbased_service)
    return gssapi.SecurityContext(name=name, usage="initiate", mech=mech, flags=flags)


def launch(kdc, keytab, *, launcher=(), user="", environment=None, max_age=0):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [*launcher, sys.executable, "-I", "-m", "ocsentry.privileges.gssapi", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env={**kdc.environment, **(environment or {})})
    helper = GssapiHelper(ours, process)
    helper.begin(GssapiScope(str(keytab), "HTTP", user, max_age))
    return helper, process


@asynccontextmanager
async def helping(kdc, **options):
    helper, process = launch(kdc, kdc.folder / "keytab", **options)
    helper.attach()
    try:
        yield helper, process.pid
    finally:
        helper.detach()
        helper.close()


def worker_of(pid):
    """The worker's process id, once there is one."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return int(eventually(lambda: children.read_text().split(), len, "a worker")[0])


def status_of(pid):
    return Path(f"/proc/{pid}/status").read_text()


@pytest.mark.asyncio
async def test_a_ticket_is_accepted_once_and_the_client_learns_who_accepted_it(kdc):
    context = client()
    token = context.step()
    async with helping(kdc) as (helper, _):
        answer = await helper.accept(token)
        assert answer == TicketAccepted(f"alice@{REALM}", REALM, answer.token)
        context.step(answer.token)
        assert context.complete
        assert await helper.accept(token) == TokenRefused("replay")


@pytest.mark.asyncio
async def test_a_replay_is_refused_after_a_restart_of_the_helper(kdc):
    token = client().step()
    async with helping(kdc) as (helper, _):
        assert isinstance(await helper.accept(token), TicketAccepted)
    async with helping(kdc) as (helper, _):
        assert await helper.accept(token) == TokenRefused("replay")


@pytest.mark.asyncio
async def test_a_token_of_kerberos_without_spnego_is_accepted(kdc):
    async with helping(kdc) as (helper, _):
        answer = await helper.accept(client(mech=gssapi.MechType.kerberos).step())
        assert isinstance(answer, TicketAccepted)


@pytest.mark.asyncio
async def test_a_login_may_take_two_tokens_of_one_context(kdc):
    context = client(flags=MUTUAL | DCE_STYLE, mech=gssapi.MechType.kerberos)
    async with helping(kdc) as (helper, _):
        wanted = await helper.accept(context.step())
        assert isinstance(wanted, TokenWanted)
        last = context.step(wanted.token)
        assert isinstance(await helper.accept(last, wanted.context), TicketAccepted)
        assert await helper.accept(last, wanted.context) == TokenRefused("bad_token")


@pytest.mark.parametrize("token", [b"\x60", NTLM, bytes(8192)], ids=["cut", "ntlm", "zeros"])
@pytest.mark.asyncio
async def test_what_is_no_token_is_refused(kdc, token):
    async with helping(kdc) as (helper, _):
        assert await helper.accept(token) == TokenRefused("bad_token")


@pytest.mark.asyncio
async def test_a_ticket_for_another_service_is_refused(kdc):
    async with helping(kdc) as (helper, _):
        answer = await helper.accept(client("host").step())
        assert answer in (TokenRefused("no_key"), TokenRefused("wrong_server"))


@pytest.mark.parametrize(("shift", "reason"), [(600, "clock_skew"), (7200, "ticket_expired")])
@pytest.mark.asyncio
async def test_clocks_and_lifetimes_have_reasons_of_their_own(kdc, tmp_path, shift, reason):
    clock = ShiftedClock(tmp_path)
    clock.jump(shift)
    async with helping(kdc, launcher=clock.launcher) as (helper, _):
        assert await helper.accept(client().step()) == TokenRefused(reason)


@pytest.mark.parametrize("max_age", [0, 60, 3600])
@pytest.mark.asyncio
async def test_a_ticket_of_an_earlier_log_in_than_allowed_is_refused(kdc, tmp_path, max_age):
    clock = ShiftedClock(tmp_path)
    clock.jump(120)  # within what clocks may differ by
    async with helping(kdc, launcher=clock.launcher, max_age=max_age) as (helper, _):
        answer = await helper.accept(client().step())
        assert answer == TokenRefused("ticket_too_old") if max_age == 60 else isinstance(answer, TicketAccepted)


@pytest.mark.asyncio
async def test_the_worker_has_no_privileges_and_needs_no_access_to_the_keytab(kdc):
    keytab = kdc.folder / "keytab"
    keytab.chmod(0o600)
    # The folder is of this process's user alone; an acceptor needs no file of it but the keytab.
    elsewhere = {"KRB5_CONFIG": os.devnull, "KRB5RCACHEDIR": "/var/tmp"}
    async with helping(kdc, user="nobody", environment=elsewhere) as (helper, pid):
        answer = await helper.accept(client().step())
        assert isinstance(answer, TicketAccepted)
        status = status_of(worker_of(pid))
        uid = next(line.split() for line in status.splitlines() if line.startswith("Uid:"))
        assert set(uid[1:]) == {"65534"}
        assert "CapEff:\t0000000000000000" in status


@pytest.mark.asyncio
async def test_a_worker_that_crashes_is_started_again(kdc):
    async with helping(kdc) as (helper, pid):
        worker = worker_of(pid)
        os.kill(worker, signal.SIGSTOP)
        waiting = asyncio.create_task(helper.accept(client().step()))
        await asyncio.sleep(0)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(AcceptorError, match="started again"):
            await waiting
        assert isinstance(await helper.accept(client().step()), TicketAccepted)


@pytest.mark.asyncio
async def test_a_ticket_by_a_newer_key_than_the_keytabs_is_refused_until_the_start(kdc):
    helper, _ = launch(kdc, kdc.folder / "keytab")
    helper.attach()
    kdc.add_service()  # a new key
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRB5CCNAME", kdc.log_in("alice", cache="newer")["KRB5CCNAME"])
        token = client().step()
    try:
        assert await helper.accept(token) == TokenRefused("no_key")
    finally:
        helper.detach()
        helper.close()
    async with helping(kdc) as (later, _):
        assert isinstance(await later.accept(token), TicketAccepted)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("absent", "auth.gssapi.keytab: .*absent cannot be read: Key table file .* not found"),
        ("krb5.conf", "auth.gssapi.keytab: .*krb5.conf cannot be read: Unsupported key table format"),
        ("host.keytab", "auth.gssapi.keytab: .*host.keytab has no key of HTTP/HOST"),
    ],
)
def test_a_keytab_that_cannot_be_used_stops_the_start_in_words(kdc, name, text):
    with pytest.raises(PrivilegeError, match=text):
        launch(kdc, kdc.folder / name)
