# SPDX-License-Identifier: GPL-3.0-or-later
"""What a broken, hostile or hanging LDAP server can do to logins: make them unavailable, and no more."""

import asyncio
import ssl
from dataclasses import replace
from ipaddress import ip_address

import pytest
from sansldap import LDAPResultCode

from lab.services.directory_server import make_authority
from lab.timeouts import TIMEOUT
from tests.vpn_frontend.auth.ldap.hostile_server import Script, entry, listening
from tests.vpn_frontend.auth.scripted import outcome_of
from vpn_frontend.auth.ldap.connection import LdapConnection, LdapError
from vpn_frontend.auth.ldap.directory import ACTIVE_DIRECTORY, LdapDirectory, Query
from vpn_frontend.auth.ldap.filters import IN_CHAIN
from vpn_frontend.auth.ldap.method import LdapMethod
from vpn_frontend.auth.ldap.pool import MAX_CONNECTIONS, MAX_WAITING, LdapPool
from vpn_frontend.auth.ldap.resolver import Resolver
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import WRONG, Accepted, Refused, Unavailable
from vpn_frontend.testing import MemoryDirectory

QUERY = Query("dc=example", "(uid=%u)")
LONG = 3600.0  # a deadline that no test reaches
BOUND, OTHER_ID = (bytes.fromhex(f"300c0201{number}61070a010004000400") for number in ("01", "02"))  # bind responses
HUGE = b"\x30\x84\x7f\xff\xff\xff"


def make(*servers, query=QUERY, deadline=LONG, resolver=None):
    pool = LdapPool(servers, deadline=deadline, report=lambda error: None, resolver=resolver)
    return LdapMethod(MemoryDirectory(), LdapDirectory(query), pool), pool


async def log_in(method, user="alice", password="secret"):
    return await outcome_of(method.begin(LoginRequest(user, password, "", ip_address("192.0.2.1"))))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "told"),
    [
        pytest.param(lambda: Script(bind=HUGE), "a message of", id="huge-length"),
        pytest.param(lambda: Script(bind=b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not an LDAP message", id="http"),
        pytest.param(lambda: Script(bind=b"\x30\x80"), "another form", id="indefinite-length"),
        pytest.param(lambda: Script(bind="close"), "lost", id="closes"),
        pytest.param(lambda: Script(search="close"), "lost", id="closes-midway"),
        pytest.param(lambda: Script(search=b"\x30\x10\x02\x01"), None, id="cut-message"),
        pytest.param(lambda: Script(search=bytes.fromhex("300c02010261070a010004000400")), "no request", id="other-id"),
        pytest.param(
            lambda: Script(search=bytes.fromhex("300c02010161070a010004000400")), "not asked", id="other-kind"
        ),
        pytest.param(lambda: Script(search=entry(count=3, uid=[b"alice"])), "not asked", id="more-entries"),
        pytest.param(lambda: Script(search=entry(uid=[b"x"] * 5000)), "more than 4096 values", id="many-values"),
        pytest.param(lambda: Script(search=entry(uid=[b"x" * 300_000])), "a message of", id="huge-value"),
        pytest.param(lambda: Script(greeting=b"\x30\x00"), None, id="unasked-greeting"),
        pytest.param(lambda: Script(bind=LDAPResultCode.BUSY), "is unavailable", id="busy"),
        pytest.param(lambda: Script(bind=LDAPResultCode.CONFIDENTIALITY_REQUIRED), "is unavailable", id="wants-tls"),
    ],
)
async def test_a_server_that_breaks_the_protocol_makes_logins_unavailable(script, told):
    script = script()
    async with listening(script) as server:
        method, pool = make(server, deadline=LONG if told else 0.2)
        with pytest.raises(LdapError, match=told or "no answer|not asked|lost|no LDAP|missing|cut"):
            await log_in(method)
        pool.close()


@pytest.mark.asyncio
async def test_references_to_other_servers_are_not_followed():
    def refer(session, request):
        session.search_result_reference(request.message_id, ["ldap://192.0.2.7/dc=example"])
        session.search_result_done(request.message_id, result_code=LDAPResultCode.REFERRAL)

    script = Script(search=refer)
    async with listening(script) as server:
        method, pool = make(server)
        assert await log_in(method) == Refused(WRONG, "user_unknown")
        pool.close()


@pytest.mark.asyncio
async def test_endless_references_end():
    def refer(session, request):
        for _ in range(1000):
            session.search_result_reference(request.message_id, ["ldap://192.0.2.7/dc=example"])
        session.search_result_done(request.message_id)

    async with listening(Script(search=refer)) as server:
        method, pool = make(server)
        with pytest.raises(LdapError, match="not asked"):
            await log_in(method)
        pool.close()


@pytest.mark.asyncio
async def test_text_before_tls_is_refused(tmp_path):
    make_authority(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(cafile=tmp_path / "authority.crt")
    answer = bytes.fromhex("300c02010178070a010004000400")
    async with listening(Script(extended=answer + BOUND)) as server:
        method, pool = make(replace(server, tls=context, start_tls=True))
        with pytest.raises(LdapError, match="plain text"):
            await log_in(method)
        pool.close()


@pytest.mark.asyncio
async def test_no_password_is_sent_when_the_server_refuses_starttls(tmp_path):
    make_authority(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(cafile=tmp_path / "authority.crt")
    script = Script(extended=bytes.fromhex("300c02010178070a010204000400"))
    async with listening(script) as server:
        method, pool = make(replace(server, tls=context, start_tls=True))
        with pytest.raises(LdapError, match="refuses StartTLS"):
            await log_in(method)
        pool.close()
    assert [type(request).__name__ for request in script.requests] == ["ExtendedRequest"]


@pytest.mark.asyncio
async def test_a_hanging_server_holds_a_bounded_number_of_logins_and_the_next_are_told_at_once():
    script = Script(bind=None)
    async with listening(script) as server:
        method, pool = make(server)
        waiting = [asyncio.create_task(log_in(method)) for _ in range(MAX_CONNECTIONS + MAX_WAITING)]
        await script.asked.wait()
        assert isinstance(await log_in(method), Unavailable)
        assert script.connections <= MAX_CONNECTIONS
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        script.bind = LDAPResultCode.SUCCESS
        script.search = entry(uid=[b"alice"])
        assert isinstance(await log_in(method), Accepted)  # every place is free again
        pool.close()


@pytest.mark.asyncio
async def test_a_login_waits_for_a_place_no_longer_than_for_a_server():
    script = Script(search=entry(uid=[b"alice"]))
    async with listening(script) as server:
        method, pool = make(server, deadline=0.05)
        for _ in range(MAX_CONNECTIONS):
            await pool._places.acquire()
        assert isinstance(await log_in(method), Unavailable)
        assert script.connections == 0
        pool.close()


@pytest.mark.asyncio
async def test_the_next_server_answers_for_one_that_hangs():
    good = Script(search=entry(uid=[b"alice"]))
    async with listening(Script(bind=None)) as hanging, listening(good) as server:
        method, pool = make(hanging, server, deadline=2.0)
        assert isinstance(await log_in(method), Accepted)
        pool.close()


@pytest.mark.asyncio
async def test_a_connection_that_the_server_closed_while_idle_costs_no_login():
    script = Script(search=entry(uid=[b"alice"]))
    async with listening(script) as server:
        method, pool = make(server)
        assert isinstance(await log_in(method), Accepted)
        (kept,) = pool._states[0].idle
        kept.close()
        assert isinstance(await log_in(method), Accepted)
        assert script.connections == 2
        pool.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["dc..example.org", f"{'d' * 64}.example.org"], ids=["empty-label", "long-label"])
async def test_a_host_that_is_no_name_is_told(host):
    """Python refuses it with another error than an unknown name. The second login finds no look-up under way."""
    async with listening(Script()) as server:
        method, pool = make(replace(server, host=host), deadline=TIMEOUT)
        for _ in range(2):
            with pytest.raises(LdapError, match="is no name of a host"):
                await log_in(method)
        pool.close()


@pytest.mark.asyncio
async def test_a_name_server_that_hangs_holds_one_thread():
    started, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    calls = []

    def hang(host):
        calls.append(host)
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        raise OSError(-2, "Name or service not known")

    async with listening(Script()) as server:
        method, pool = make(replace(server, host="ldap.example.org"), resolver=Resolver(hang))
        logins = [asyncio.create_task(log_in(method)) for _ in range(10)]
        await started.wait()
        logins[0].cancel()
        release.set()
        results = await asyncio.gather(*logins, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] + [LdapError] * 9
        assert calls == ["ldap.example.org"]
        pool.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        ("525", "user_unknown", False),
        ("52e", "wrong_password", False),
        ("530", "logon_hours", True),
        ("531", "workstation_refused", True),
        ("532", "password_expired", True),
        ("533", "user_disabled", True),
        ("701", "user_expired", True),
        ("773", "password_must_change", True),
        ("775", "user_locked", False),
        ("999", "wrong_password", False),
    ],
)
async def test_active_directory_s_codes_are_told_where_the_password_was_right(code, reason, told):
    text = f"80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data {code}, v3839\0"
    script = Script(search=entry(uid=[b"alice"]), user_bind=(LDAPResultCode.INVALID_CREDENTIALS, text))
    async with listening(script) as server:
        method, pool = make(server)
        refused = await log_in(method)
        assert (refused.reason, refused.final) == (reason, told)
        assert (refused.text == WRONG) is not told
        assert code not in refused.text
        pool.close()


@pytest.mark.asyncio
async def test_active_directory_follows_nested_groups_itself():
    def answer(session, request):
        if request.base_object == "":
            entry(dn="", supportedCapabilities=[ACTIVE_DIRECTORY])(session, request)
        elif IN_CHAIN in str(request.filter):
            entry("cn=staff,dc=example", cn=[b"staff"])(session, request)
        else:
            entry(uid=[b"alice"])(session, request)

    script = Script(search=answer)
    async with listening(script) as server:
        query = replace(QUERY, group_filter="(&(objectClass=group)(member=%d))")
        method, pool = make(server, query=query)
        accepted = await log_in(method)
        assert accepted.groups == ("staff",)
        asked = [str(request.filter) for request in script.requests if hasattr(request, "filter")]
        assert asked[-1] == f"(&(objectClass=group)(member:{IN_CHAIN}:=uid=alice,dc=example))"
        pool.close()


@pytest.mark.asyncio
async def test_groups_of_an_entry_s_own_attribute():
    members = [b"cn=staff\\2C all,dc=example", b"CN=ops,dc=example", b"nonsense", b"cn=" + b"x" * 70, b"cn=ops,o=other"]
    async with listening(Script(search=entry(uid=[b"alice"], memberOf=members))) as server:
        method, pool = make(server)
        assert (await log_in(method)).groups == ("staff, all", "ops")
        pool.close()


@pytest.mark.asyncio
async def test_a_user_in_too_many_groups_is_not_let_in_with_some_of_them():
    members = [b"cn=g%d,dc=example" % number for number in range(1100)]
    async with listening(Script(search=entry(uid=[b"alice"], memberOf=members))) as server:
        method, pool = make(server)
        with pytest.raises(LdapError, match="more than 1024 groups"):
            await log_in(method)
        pool.close()


@pytest.mark.asyncio
async def test_groups_in_a_circle_without_end_are_walked_to_a_bound():
    numbers = iter(range(10_000))

    def answer(session, request):
        if "member" not in str(request.filter):
            entry(uid=[b"alice"])(session, request)
        else:
            number = next(numbers)
            entry(f"cn=g{number},dc=example", cn=[b"g%d" % number])(session, request)

    async with listening(Script(search=answer)) as server:
        method, pool = make(server, query=replace(QUERY, group_filter="(member=%d)"))
        assert len((await log_in(method)).groups) == 8  # MAX_DEPTH
        pool.close()


@pytest.mark.asyncio
async def test_a_bind_that_servers_answer_with_success_whatever_it_says_is_never_sent():
    script = Script()
    async with listening(script) as server:
        connection = await LdapConnection.connect(server, server.host)
        for dn, password in (("uid=alice,dc=example", ""), ("", "secret")):
            with pytest.raises(ValueError, match="proves nothing"):
                await connection.bind(dn, password)
        connection.close()
    assert script.requests == []


@pytest.mark.asyncio
async def test_an_unknown_user_takes_as_long_as_a_wrong_password():
    def answer(session, request):
        entry(uid=[b"alice"], count="alice" in str(request.filter))(session, request)

    script = Script(search=answer, user_bind=(LDAPResultCode.INVALID_CREDENTIALS, ""))
    script.slow["uid=alice,dc=example"] = 0.2
    async with listening(script) as server:
        method, pool = make(server)
        assert (await log_in(method)).reason == "wrong_password"
        began = asyncio.get_running_loop().time()
        assert (await log_in(method, "nobody")).reason == "user_unknown"
        assert asyncio.get_running_loop().time() - began >= 0.2
        pool.close()
