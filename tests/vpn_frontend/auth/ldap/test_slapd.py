# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins against OpenLDAP's slapd: plain on loopback, StartTLS, ldaps; groups; states of accounts."""

import asyncio
import shutil
import ssl
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from lab.services.directory_server import (
    BASE,
    GROUPS,
    HOST,
    PASSWORD,
    PEOPLE,
    PORT,
    SECURE_PORT,
    SERVICE_DN,
    SERVICE_PASSWORD,
    group,
    make_authority,
    person,
    running,
)
from tests.vpn_frontend.auth.scripted import outcome_of
from vpn_frontend.auth.ldap.connection import LdapError, Server
from vpn_frontend.auth.ldap.directory import LdapDirectory, Query
from vpn_frontend.auth.ldap.method import LdapMethod
from vpn_frontend.auth.ldap.pool import LdapPool
from vpn_frontend.auth.ldap.resolver import Resolver
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import WRONG, Accepted, Refused
from vpn_frontend.ports import UserRecord
from vpn_frontend.testing import MemoryDirectory

pytestmark = pytest.mark.skipif(not shutil.which("slapd"), reason="slapd is not installed: make .build/test-packages")

SPECIAL = "o*b(r)\\i,a+n"
ENTRIES = (
    person("alice", PASSWORD, "mail: alice@example.org")
    + person("Bob")
    + person("special", uid=SPECIAL)
    + person("twin1", uid="twin")
    + person("twin2", uid="twin")
    + person("nopassword", "")
    + person("locked")
    + person("old", PASSWORD, "pwdChangedTime: 20000101000000Z")
    + person("reset", PASSWORD, "pwdReset: TRUE")
    + group("ops", f"uid=alice,{PEOPLE}")
    + group("staff", f"cn=ops,{GROUPS}", f"cn=circle,{GROUPS}")
    + group("circle", f"cn=staff,{GROUPS}")
    + group("others", f"uid=Bob,{PEOPLE}")
)
ADDRESSES = {}  # by the host of a URL
QUERY = Query(BASE, "(&(objectClass=person)(uid=%u))", SERVICE_DN, SERVICE_PASSWORD, group_filter="(member=%d)")


@pytest.fixture(scope="module")
def slapd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slapd")
    with running(folder, ENTRIES) as server:
        ADDRESSES.update(dict.fromkeys((HOST, "another"), server.address))
        yield server


@pytest.fixture(scope="module")
def contexts(slapd, tmp_path_factory):
    """(that of the server's authority, that of another one)"""
    folder = tmp_path_factory.mktemp("other")
    make_authority(folder, HOST)
    return ssl.create_default_context(cafile=slapd.authority), ssl.create_default_context(
        cafile=folder / "authority.crt"
    )


@asynccontextmanager
async def method(*servers, query=QUERY, users=(), deadline=60.0):
    reports = []
    pool = LdapPool(
        servers, deadline=deadline, report=reports.append, resolver=Resolver(lambda host: [ADDRESSES[host]])
    )
    made = LdapMethod(MemoryDirectory(users), LdapDirectory(query), pool)
    made.reports = reports
    try:
        yield made
    finally:
        pool.close()


async def log_in(made, user, password=PASSWORD):
    return await outcome_of(made.begin(LoginRequest(user, password, "", ip_address("192.0.2.1"))))


def plain(slapd):
    return Server("ldap://localhost", HOST, PORT, None)


def start_tls(context):
    return Server("ldap://localhost", HOST, PORT, context, start_tls=True)


def ldaps(context, host=HOST):
    return Server(f"ldaps://{host}", host, SECURE_PORT, context)


@pytest.fixture(params=["plain", "starttls", "ldaps"])
def server(request, slapd, contexts):
    if request.param == "plain":
        return plain(slapd)
    if request.param == "starttls":
        return start_tls(contexts[0])
    return ldaps(contexts[0])


@pytest.mark.asyncio
async def test_the_right_password_opens_with_nested_groups(server):
    async with method(server) as ldap:
        accepted = await log_in(ldap, "alice")
        assert isinstance(accepted, Accepted)
        assert (accepted.user.name, accepted.user.external) == ("alice", True)
        assert set(accepted.groups) == {"ops", "staff", "circle"}
        assert await log_in(ldap, "alice", "wrong") == Refused(WRONG, "wrong_password")


@pytest.mark.asyncio
async def test_spellings_of_one_user_are_one_user(slapd):
    async with method(plain(slapd)) as ldap:
        for typed in ("bob", "BOB", "Bob ", "bOb"):
            assert (await log_in(ldap, typed)).user.name == "bob"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "name", ["*", "a*", "alice)(uid=*", "al\\69ce", "alice\0", "", " ", "alice\n", "x" * 65, "%u", "nobody", "é\udcff"]
)
async def test_other_names_are_unknown_with_the_text_of_a_wrong_password(slapd, name):
    async with method(plain(slapd)) as ldap:
        refused = await log_in(ldap, name)
        assert (refused.text, refused.final, refused.retry) == (WRONG, False, None)
        assert refused.reason in {"user_unknown", "unusable_name"}


@pytest.mark.asyncio
async def test_special_characters_of_a_name_are_only_characters(slapd):
    async with method(plain(slapd)) as ldap:
        assert (await log_in(ldap, SPECIAL)).user.name == SPECIAL


@pytest.mark.asyncio
async def test_two_entries_for_one_name_are_refused(slapd):
    async with method(plain(slapd)) as ldap:
        assert await log_in(ldap, "twin") == Refused(WRONG, "user_ambiguous")


@pytest.mark.asyncio
async def test_an_empty_password_is_refused_without_asking_the_server():
    async with method() as ldap:
        assert ldap.begin(LoginRequest("alice", "", "", ip_address("192.0.2.1"))) == Refused(WRONG, "empty_password")


@pytest.mark.asyncio
async def test_an_entry_without_a_password_opens_nothing(slapd):
    async with method(plain(slapd)) as ldap:
        assert (await log_in(ldap, "nopassword", "anything")).text == WRONG


@pytest.mark.asyncio
async def test_expired_and_reset_passwords_are_told_to_their_owner_alone(slapd):
    async with method(plain(slapd)) as ldap:
        for user, reason in (("old", "password_expired"), ("reset", "password_must_change")):
            told = await log_in(ldap, user)
            assert (told.reason, told.final) == (reason, True)
            assert "password" in told.text
            assert told.text != WRONG
            assert (await log_in(ldap, user, "wrong")).text == WRONG


@pytest.mark.asyncio
async def test_a_locked_account_is_not_told_even_with_the_right_password(slapd):
    async with method(plain(slapd)) as ldap:
        for _ in range(3):
            assert (await log_in(ldap, "locked", "wrong")).text == WRONG
        refused = await log_in(ldap, "locked")
        assert (refused.text, refused.final) == (WRONG, False)


@pytest.mark.asyncio
async def test_a_record_of_that_name_governs(slapd):
    async with method(plain(slapd), users=[UserRecord("alice", groups=("local",), enabled=False)]) as ldap:
        accepted = await log_in(ldap, "alice")
        assert not accepted.user.enabled
        assert "local" in accepted.groups


@pytest.mark.asyncio
async def test_a_certificate_of_another_authority_or_name_is_refused(slapd, contexts):
    for server in (ldaps(contexts[1]), start_tls(contexts[1]), ldaps(contexts[0], "another")):
        async with method(server) as ldap:
            with pytest.raises(LdapError, match="certificate verify failed"):
                await log_in(ldap, "alice")


@pytest.mark.asyncio
async def test_a_wrong_service_password_makes_logins_unavailable_not_wrong(slapd):
    query = Query(BASE, QUERY.filter, SERVICE_DN, "another")
    async with method(plain(slapd), query=query) as ldap:
        with pytest.raises(LdapError, match=r"refuses auth\.ldap\.bind_dn"):
            await log_in(ldap, "alice")


@pytest.mark.asyncio
async def test_a_base_that_does_not_exist_makes_logins_unavailable(slapd):
    query = Query("dc=nowhere", QUERY.filter, SERVICE_DN, SERVICE_PASSWORD)
    async with method(plain(slapd), query=query) as ldap:
        with pytest.raises(LdapError, match="result 32"):
            await log_in(ldap, "alice")


@pytest.mark.asyncio
async def test_the_next_server_is_asked_when_one_is_down(slapd):
    down = Server("ldap://127.0.0.1:1", "127.0.0.1", 1, None)
    async with method(down, plain(slapd)) as ldap:
        assert isinstance(await log_in(ldap, "alice"), Accepted)
        assert len(ldap.reports) == 1
        assert "ldap://127.0.0.1:1" in str(ldap.reports[0])
        assert isinstance(await log_in(ldap, "alice"), Accepted)
        assert len(ldap.reports) == 1  # it is asked last for a while


@pytest.mark.asyncio
async def test_many_logins_at_once_share_the_connections(slapd):
    async with method(plain(slapd)) as ldap:
        outcomes = await asyncio.gather(*[log_in(ldap, "alice" if n % 2 else f"user{n}") for n in range(60)])
        assert [isinstance(outcome, Accepted) for outcome in outcomes] == [bool(n % 2) for n in range(60)]
