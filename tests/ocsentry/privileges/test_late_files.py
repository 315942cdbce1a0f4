# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a reload names: those of the configuration's file, and no private key for the server."""

import os
from pathlib import Path

import pytest

from ocsentry.privileges.helper.answer import Refused
from ocsentry.privileges.helper.client import Helper, HelperError
from ocsentry.privileges.helper.late_files import MAX_LATE, is_named, mentioned_folders, name_file
from ocsentry.privileges.helper.scope import Scope
from ocsentry.privileges.helper.verbs import read_key
from vpn_frontend.gateway.tun import TunDevice

CONFIGURATION = """
server-key = {folder}/first.key
auth = "plain[passwd={folder}/users,otp=codes]"
# server-key = {folder}/old.key
crl = ./lists/crl.pem
banner = see {folder}/users.txt
"""


@pytest.fixture
def scope(tmp_path):
    configuration = tmp_path / "ocserv.conf"
    configuration.write_text(CONFIGURATION.format(folder=tmp_path))
    for name in ("first.key", "old.key", "users"):
        (tmp_path / name).write_text(name)
    files = {"vpn.private_key": tmp_path / "first.key"}
    device = TunDevice("ocstest9", (), 1400)
    return Scope(files, device, (), private_files=("vpn.private_key",), configuration=configuration)


def name(scope, path, *, private=False):
    return name_file(scope, {"path": str(path), "private": private}).fields["name"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/c/first.key", True),
        ("/c/users", True),
        ("/c/codes", True),
        ("/c/lists/crl.pem", True),
        ("/c/old.key", False),
        ("/c/user", False),
        ("/c", False),
        ("/first.key", False),
        ("/etc/shadow", False),
    ],
)
def test_a_path_is_a_whole_word_of_a_line_that_is_no_comment(path, named):
    text = CONFIGURATION.format(folder="/c").encode()
    assert is_named(text, Path(path), Path("/c")) is named


def test_a_late_file_is_read_under_the_name_that_the_helper_gives(scope, tmp_path):
    with pytest.raises(Refused):
        read_key(scope, {"file": "late.0.0"})
    given = name(scope, tmp_path / "users")
    assert given == name(scope, tmp_path / "users")
    [descriptor] = read_key(scope, {"file": given}).descriptors
    with os.fdopen(descriptor) as file:
        assert file.read() == "users"


@pytest.mark.parametrize("path", ["/etc/shadow", "{folder}/old.key", "users", ""])
def test_what_the_configuration_does_not_name_is_refused(scope, tmp_path, path):
    with pytest.raises(Refused, match="does not name it"):
        name(scope, path.format(folder=tmp_path))


def test_a_private_key_is_for_the_signing_process_alone(scope, tmp_path):
    with pytest.raises(Refused, match="signing process alone"):
        name(scope, tmp_path / "first.key")
    (tmp_path / "users").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    given = name(scope, tmp_path / "users")
    with pytest.raises(Refused, match="it has a private key"):
        read_key(scope, {"file": given})
    private = name(scope, tmp_path / "codes", private=True)
    assert scope.private_file(private) == tmp_path / "codes"
    with pytest.raises(Refused):
        read_key(scope, {"file": private})
    with pytest.raises(Refused, match="signing process alone"):
        name(scope, tmp_path / "codes")


def test_a_link_to_a_private_key_is_refused(tmp_path):
    (tmp_path / "first.key").write_text("key")
    for link in ("chain.pem", "api.pem", "api.key"):
        (tmp_path / link).symlink_to("first.key")
    names = {"vpn.certificate": "chain.pem", "vpn.private_key": "first.key"}
    names |= {"admin.certificate": "api.pem", "admin.private_key": "api.key"}
    files = {key: tmp_path / path for key, path in names.items()}
    scope = Scope(files, TunDevice("ocstest9", (), 1400), (), private_files=("vpn.private_key",))
    for link in ("vpn.certificate", "admin.certificate"):
        with pytest.raises(Refused, match="it leads to a file that the signing process alone reads"):
            read_key(scope, {"file": link})
    [descriptor] = read_key(scope, {"file": "admin.private_key"}).descriptors
    os.close(descriptor)
    (tmp_path / "first.key").unlink()
    (tmp_path / "chain.pem").unlink()
    (tmp_path / "chain.pem").write_text("chain")
    [descriptor] = read_key(scope, {"file": "vpn.certificate"}).descriptors
    os.close(descriptor)


def test_their_number_is_bounded(scope, tmp_path):
    scope.late.plain.update({str(number): Path("/x") for number in range(MAX_LATE)})
    with pytest.raises(Refused, match="too many files"):
        name(scope, tmp_path / "users")


def test_the_helper_process_reads_the_configuration_itself(scope, tmp_path):
    helper = Helper.start(scope)
    try:
        helper.confine(seccomp="kill", landlock=True)
        helper.name_files([tmp_path / "users", tmp_path / "users"], [])
        assert helper.read_key(tmp_path / "users", 100) == b"users"
        with pytest.raises(HelperError, match="does not name it"):
            helper.name_files([Path("/etc/shadow")], [])
        scope.configuration.write_text("crl = new.pem\n")
        (tmp_path / "new.pem").write_text("new")
        helper.name_files([tmp_path / "new.pem"], [])
        assert helper.read_key(tmp_path / "new.pem", 100) == b"new"
    finally:
        helper.close()


def test_a_folder_of_many_programs_is_out_of_reach_by_every_name(tmp_path):
    (tmp_path / "run").symlink_to("/run")
    (tmp_path / "own").mkdir()
    configuration = tmp_path / "own" / "ocserv.conf"
    configuration.write_text(
        f"#a = {tmp_path}/run/a\n#b = /etc/ssl/../b\n#c = /dev/null\n#d = /proc/d\ne = {tmp_path}/own/e\n"
    )
    assert mentioned_folders(configuration) == (tmp_path / "own",)


def test_folders_that_the_configuration_mentions_are_within_reach(tmp_path):
    for name in ("a", "b", "c", "etc"):
        (tmp_path / name).mkdir()
    configuration = tmp_path / "etc" / "ocserv.conf"
    text = "server-key = {0}/a/key\n#auth = plain[passwd={0}/b/users,otp={0}/missing/codes]\nurl = https://h/etc/x\n"
    configuration.write_text(text.format(tmp_path) + "pid-file = /run/pid\nlistening = 10.0.0.0/8\n")
    assert mentioned_folders(configuration) == (tmp_path / "a", tmp_path / "b")
    assert mentioned_folders(tmp_path / "gone") == ()
    scope = Scope({}, TunDevice("ocstest9", (), 1400), (), configuration=configuration)
    (tmp_path / "b" / "users").write_text("u")
    (tmp_path / "c" / "users").write_text("u")
    helper = Helper.start(scope)
    try:
        helper.confine(seccomp="kill", landlock=True)
        configuration.write_text(f"auth = plain[passwd={tmp_path}/b/users,otp={tmp_path}/c/users]\n")
        helper.name_files([tmp_path / "b" / "users", tmp_path / "c" / "users"], [])
        assert helper.read_key(tmp_path / "b" / "users", 9) == b"u"
        with pytest.raises(HelperError, match="Permission denied"):
            helper.read_key(tmp_path / "c" / "users", 9)
    finally:
        helper.close()
