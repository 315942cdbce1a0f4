# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace
from ipaddress import ip_address

import pytest
from cryptography.x509 import NameAttribute
from cryptography.x509.oid import NameOID

from lab.authority import Authority
from tests.vpn_frontend.auth.scripted import outcome_of
from vpn_frontend.auth.certificate.identity import CertificateFields
from vpn_frontend.auth.certificate.method import (
    CertificateFirst,
    CertificateMethod,
    GroupQuestion,
    confirm_certificate,
)
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import Accepted, FirstForm, Refused
from vpn_frontend.ports import UserRecord
from vpn_frontend.protocol.client_offer import ClientOffer
from vpn_frontend.protocol.login_form import GROUP
from vpn_frontend.testing import MemoryDirectory

FIELDS = CertificateFields("CN", "OU")
ALICE = UserRecord("alice", groups=("staff",), enabled=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def request(certificate=b"", *, submitted=False, failed=False):
    offer = ClientOffer(certificate_failed=failed)
    return LoginRequest(
        "", "", "", ip_address("192.0.2.1"), peer_certificate=certificate, submitted=submitted, offer=offer
    )


async def begin(login, *, needed=True):
    method = CertificateMethod(MemoryDirectory([ALICE]), FIELDS)
    return await outcome_of((CertificateFirst(method) if needed else method).begin(login))


@pytest.mark.asyncio
async def test_a_user_of_the_directory_keeps_the_record(authority):
    accepted = await begin(request(authority.issue("Alice", [NameAttribute(NameOID.COMMON_NAME, "alice")]).der))
    assert isinstance(accepted, Accepted)
    assert (accepted.user.name, accepted.user.enabled, accepted.groups) == ("alice", False, ("staff",))


def test_a_user_who_is_known_without_waiting(authority):
    method = CertificateMethod(MemoryDirectory([ALICE], recalls=True), FIELDS)
    accepted = method.begin(request(authority.issue("alice").der))
    assert isinstance(accepted, Accepted)
    assert (accepted.user.external, accepted.groups) == (True, ("staff",))


@pytest.mark.asyncio
async def test_a_user_whom_only_the_certificate_names(authority):
    subject = [NameAttribute(NameOID.COMMON_NAME, "Bob"), NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "ops")]
    accepted = await begin(request(authority.issue("bob", subject).der))
    assert isinstance(accepted, Accepted)
    assert (accepted.user.name, accepted.user.external, accepted.groups) == ("bob", True, ("ops",))


def in_groups(authority, *groups):
    names = [NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, group) for group in groups]
    return authority.issue("alice", [NameAttribute(NameOID.COMMON_NAME, "alice"), *names]).der


def asking(**given):
    return CertificateMethod(MemoryDirectory([ALICE], recalls=True), FIELDS, GroupQuestion(**given))


def test_a_certificate_of_several_groups_asks_for_one(authority):
    method, login = asking(labels=(("lab", "The lab"),)), request(in_groups(authority, "ops", "lab"))
    form = method.begin(login).form
    [select] = form.fields
    assert (select.name, select.options, select.labels) == (GROUP, ("ops", "lab"), (("lab", "The lab"),))
    assert form.message == "Please select your group."
    for chosen in (replace(login, group="lab"), replace(login, fields={GROUP: "no group"})):
        assert isinstance(method.begin(chosen), Accepted), "the client has chosen"


@pytest.mark.parametrize(
    ("offered", "groups", "asked", "first"),
    [
        ((), ["ops"], None, "ops"),
        (("lab",), ["ops", "lab"], None, "lab"),
        (("lab", "ops"), ["ops", "x", "lab"], ("none", "ops", "x", "lab"), None),
        (("other",), ["ops"], ("none", "ops"), None),
        ((), ["ops", "lab"], ("none", "ops", "lab"), None),
        (("other",), [], None, "staff"),
    ],
)
def test_groups_that_may_be_chosen(authority, offered, groups, asked, first):
    outcome = asking(offered=offered, no_group="none").begin(request(in_groups(authority, *groups)))
    if asked is None:
        assert outcome.groups[0] == first
        assert set(outcome.groups) == {*groups, "staff"}
    else:
        assert outcome.form.fields[0].options == asked


@pytest.mark.asyncio
async def test_a_client_without_one_is_asked_once_and_then_refused():
    assert await begin(request()) == FirstForm(request_certificate=True)
    for login, needed in ((request(failed=True), True), (request(submitted=True), True), (request(), False)):
        refused = await begin(login, needed=needed)
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.final, refused.scored) == ("no_certificate", True, False)


@pytest.mark.asyncio
async def test_a_certificate_that_names_nobody_counts_as_a_failure(authority):
    refused = await begin(request(authority.issue("nobody", []).der))
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.scored) == ("certificate_without_user", True)
    assert "Certificate Validation Failure" not in refused.text, "openconnect would show its own text instead"


def test_the_last_comparison(authority):
    der = authority.issue("alice").der
    assert confirm_certificate(FIELDS, request(der), UserRecord("alice")) is None
    assert confirm_certificate(FIELDS, request(authority.issue("ALICE").der), UserRecord("alice")) is None
    for login, user, reason in (
        (request(der), "bob", "another_user"),
        (request(), "alice", "certificate_malformed"),
        (request(authority.issue("x", []).der), "", "certificate_without_user"),
    ):
        refused = confirm_certificate(FIELDS, login, UserRecord(user))
        assert refused is not None
        assert (refused.reason, refused.final) == (reason, True)
