# SPDX-License-Identifier: GPL-3.0-or-later
"""An audit that could not be made is told from one that found nothing."""

from __future__ import annotations

import json

import pytest

from requirements.audit import CLEAN, NOT_AUDITED, VULNERABLE, audit, verdict

CLEAN_PACKAGE = {"name": "h11", "version": "0.16.0", "vulns": []}


def output(*packages):
    return json.dumps({"dependencies": packages, "fixes": []})


def test_no_known_vulnerability():
    assert verdict(output(CLEAN_PACKAGE), "") == (CLEAN, "audited 1 packages: no known vulnerability")


def test_a_vulnerability_is_named():
    bad = {"name": "h11", "version": "0.14.0", "vulns": [{"id": "CVE-2025-43859"}]}
    assert verdict(output(CLEAN_PACKAGE, bad), "") == (VULNERABLE, "h11 0.14.0: CVE-2025-43859")


def test_a_vulnerability_counts_also_if_another_package_was_skipped():
    bad = {"name": "h11", "version": "0.14.0", "vulns": [{"id": "CVE-2025-43859"}]}
    assert verdict(output({"name": "uv", "skip_reason": "not found"}, bad), "")[0] == VULNERABLE


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("", "ERROR:pip_audit: Could not connect to the vulnerability feed"),
        ("{", "killed"),
        ("[]", ""),
        (output(), ""),
        (output({"name": "h11", "skip_reason": "not found"}), ""),
    ],
    ids=["unreachable", "cut short", "another document", "no package", "a package was skipped"],
)
def test_what_was_not_audited_is_said(text, errors):
    code, words = verdict(text, errors)
    assert code == NOT_AUDITED
    assert words.startswith("not audited: ")


def test_a_program_that_fails_is_not_an_audit(tmp_path):
    program = tmp_path / "pip-audit"
    program.write_text("#!/bin/sh\necho 'no route to the database' >&2\nexit 1\n")
    program.chmod(0o700)
    assert audit(tmp_path / "some.lock", program) == (
        NOT_AUDITED,
        "not audited: pip-audit gave no result: no route to the database",
    )
