# SPDX-License-Identifier: GPL-3.0-or-later
"""When a certificate is ordered, when not, and how often.

tests/e2e/operation/test_acme.py orders from a real server.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab.authority import DAY, Authority
from ocsentry.acme.certificate import check_issued, install, is_due, make_request, public_names
from ocsentry.acme.issue import Issuer, Wishes
from ocsentry.acme.server import AcmeError
from ocsentry.acme.state import FIRST_WAIT, LONGEST_WAIT, AcmeFolder, AcmeState
from ocsentry.setup.certificates import CertificateFacts, inspect_pair, make_self_signed

NAME = "vpn.example.org"
NOWHERE = "https://127.0.0.1:1/directory"  # nothing listens there


class Refusing:
    """No challenge may be put up."""

    def put(self, name, key_authorization):
        raise AssertionError(name)

    def remove(self, name):
        raise AssertionError(name)


def issuer(tmp_path, certificate, key):
    return Issuer(AcmeFolder(tmp_path), certificate, key, Refusing(), lambda: None, "1")


@pytest.fixture
def self_signed(tmp_path):
    files = tmp_path / "server.crt", tmp_path / "server.key"
    make_self_signed(*files, [NAME, "localhost", "127.0.0.1"], datetime.now(UTC))
    return files


@pytest.fixture
def issued(tmp_path):
    """A certificate of an authority, good for 40 days of 80."""
    made = Authority(tmp_path / "ca").issue(
        "server", names=[x509.DNSName(NAME)], purpose=ExtendedKeyUsageOID.SERVER_AUTH, lifetime=40 * DAY
    )
    return made.certificate, made.key


def test_a_timer_does_nothing_before_a_certificate_was_ordered(tmp_path, self_signed):
    assert issuer(tmp_path, *self_signed).renew() is None
    assert not (tmp_path / "acme").exists()


def test_what_is_good_for_long_is_not_ordered_again(tmp_path, issued):
    AcmeFolder(tmp_path).write(AcmeState(directory=NOWHERE, account=f"{NOWHERE}/1", names=[NAME]))
    here = issuer(tmp_path, *issued)
    for result in (here.renew(), here.issue(Wishes())):
        assert not result.changed
        assert result.facts.names == (NAME,)
    with pytest.raises(AcmeError, match="cannot be reached"):  # another name has to be ordered
        here.issue(Wishes(names=[NAME, "gate.example.org"]))


def test_a_failure_is_kept_and_the_next_attempt_waits(tmp_path, self_signed):
    here = issuer(tmp_path, *self_signed)
    before = self_signed[0].read_bytes()
    for force in (False, True):
        with pytest.raises(AcmeError, match=r"127\.0\.0\.1 cannot be reached"):
            here.issue(Wishes(directory=NOWHERE, force=force))
    state = AcmeFolder(tmp_path).read()
    assert (state.failures, state.names, state.account) == (2, [], "")
    with pytest.raises(AcmeError, match=r"the last attempt failed: .*\nThe next one is possible at \d{4}-"):
        here.issue(Wishes())
    assert self_signed[0].read_bytes() == before


def test_waits_grow_and_are_bounded():
    state, waits = AcmeState(), []
    for _ in range(12):
        state = state.after_failure("no", 1000.0)
        waits.append(state.next_attempt() - 1000.0)
    assert waits[:3] == [FIRST_WAIT, 4 * FIRST_WAIT, 16 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT
    assert sum(waits[:4]) > 3600  # Let's Encrypt locks out after five failures an hour
    assert AcmeState().next_attempt() == 0.0


def test_another_server_gets_another_account(tmp_path, issued):
    AcmeFolder(tmp_path).write(
        AcmeState(directory="https://127.0.0.2:1/", account="https://127.0.0.2:1/1", names=[NAME])
    )
    with pytest.raises(AcmeError, match=r"127\.0\.0\.1 cannot be reached"):
        issuer(tmp_path, *issued).issue(Wishes(directory=NOWHERE))
    state = AcmeFolder(tmp_path).read()
    assert (state.directory, state.account) == (NOWHERE, "")


def test_files_of_other_programs_are_left_alone(tmp_path, issued):
    link = tmp_path / "server.crt"
    link.symlink_to(issued[0])
    with pytest.raises(AcmeError, match=r"is a link to .* another program renews it"):
        issuer(tmp_path, link, issued[1]).issue(Wishes(directory=NOWHERE))
    with pytest.raises(AcmeError, match="of another authority, which is not replaced without --force"):
        issuer(tmp_path, *issued).issue(Wishes(directory=NOWHERE))


def test_two_orders_at_once_are_one(tmp_path, self_signed):
    folder = AcmeFolder(tmp_path)
    with folder.locked(), pytest.raises(AcmeError, match="another order is under way"):
        issuer(tmp_path, *self_signed).issue(Wishes(directory=NOWHERE))


def test_a_certificate_without_a_public_name_asks_for_one(tmp_path):
    files = tmp_path / "server.crt", tmp_path / "server.key"
    make_self_signed(*files, ["localhost", "127.0.0.1", "fd00::1"], datetime.now(UTC))
    with pytest.raises(AcmeError, match="give --name"):
        issuer(tmp_path, *files).issue(Wishes(directory=NOWHERE))


def test_a_broken_state_says_what_to_do(tmp_path):
    folder = AcmeFolder(tmp_path)
    folder.write(AcmeState())
    (tmp_path / "acme" / "state.json").write_text("{")
    with pytest.raises(AcmeError, match=r"state\.json: .*; remove it to begin again"):
        folder.read()
    (tmp_path / "acme" / "account.key").write_text("no key")
    with pytest.raises(AcmeError, match=r"account\.key: "):
        folder.account_key()


@pytest.mark.parametrize(("days_left", "due"), [(40, False), (27, True), (-1, True)])
def test_a_third_of_its_life_before_the_end_a_certificate_is_due(days_left, due):
    now = datetime(2030, 1, 1, tzinfo=UTC)
    end = now + timedelta(days=days_left)
    facts = CertificateFacts("CN=a", (NAME,), end - timedelta(days=90), end, self_signed=False, pin="")
    assert is_due(facts, now) is due


def test_names_that_an_authority_can_validate(self_signed):
    assert public_names(inspect_pair(*self_signed)) == [NAME]


def test_the_request_names_all_and_is_signed_by_the_servers_key(self_signed):
    request = x509.load_der_x509_csr(make_request(self_signed[1].read_bytes(), [NAME, "b.example.org"]))
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME, "b.example.org"]
    assert request.is_signature_valid
    with pytest.raises(AcmeError, match="PEM without a password"):
        make_request(b"", [NAME])


def test_a_chain_that_is_not_what_was_ordered_is_not_installed(issued, self_signed):
    chain, key = (path.read_bytes() for path in issued)
    assert check_issued(chain, key, [NAME])
    with pytest.raises(AcmeError, match=r"lacks other\.example\.org"):
        check_issued(chain, key, [NAME, "other.example.org"])
    with pytest.raises(AcmeError, match="is not the key of"):
        check_issued(chain, self_signed[1].read_bytes(), [NAME])
    with pytest.raises(AcmeError, match="no certificate"):
        check_issued(b"", key, [NAME])


def test_the_new_file_has_the_mode_of_the_old_one_and_no_rest_stays(tmp_path):
    path = tmp_path / "server.crt"
    path.write_text("old")
    path.chmod(0o640)
    install(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)
    assert [*tmp_path.iterdir()] == [path]
