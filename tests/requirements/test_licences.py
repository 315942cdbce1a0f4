# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/licences.md lists each locked package once, at the locked version, with the licence of its metadata."""

from __future__ import annotations

import re
from email.message import Message
from pathlib import Path

import pytest

from requirements.licences import LOCKS, document, installed_here, licence
from requirements.lock_files import FOLDER, pins

DOCUMENT = FOLDER.parent / "docs/licences.md"
WOLFSSL = FOLDER.parent / "vpn_frontend/native/wolfssl.sh"


def test_the_document_lists_exactly_what_is_locked():
    listed = re.findall(r"^\| ([\w.-]+) \| ([\w.]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    locked = {(pin.name, pin.version) for lock in LOCKS for pin in pins(lock) if installed_here(pin.marker)}
    assert listed == sorted([("package", "version"), *locked], key=lambda row: (row[0] != "package", row))


def test_the_document_is_what_the_installed_metadata_says():
    assert document() == DOCUMENT.read_text()


def test_the_document_names_the_pinned_wolfssl():
    version = re.search(r"WOLFSSL_VERSION:-([\d.]+)", WOLFSSL.read_text())
    assert f"wolfSSL {version[1]} " in DOCUMENT.read_text()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License-Expression": "MIT", "License": "other"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, "BSD License"),
        ({"License": "Apache 2.0\nthe whole text"}, "Apache 2.0"),
    ],
)
def test_the_newest_field_that_is_set_counts(fields, expected):
    message = Message()
    for name, value in fields.items():
        message[name] = value
    assert licence(message) == expected


def test_a_package_without_a_licence_is_an_error():
    message = Message()
    message["Name"] = "unknown"
    with pytest.raises(ValueError, match="unknown states no licence"):
        licence(message)


def test_every_lock_file_can_be_read():
    for file in Path(FOLDER).glob("*.lock"):
        assert all(pin.sha256 for pin in pins(file.stem))
