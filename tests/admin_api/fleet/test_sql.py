# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all SQL of a fleet, whatever it does: rules that no single run of it would show to be broken."""

import re
from pathlib import Path

import pytest

from admin_api.store import migrations

FILES = sorted((Path(next(iter(migrations.__path__))) / "fleet").glob("*.sql"))
FUNCTION = re.compile(r"CREATE FUNCTION fleet\.(\w+)(.*?)\$\$(.*?)\$\$", re.DOTALL)


def functions():
    for file in FILES:
        text = re.sub(r"--.*", "", file.read_text())
        for name, head, body in FUNCTION.findall(text):
            yield pytest.param(name, head, body, id=name)


def test_the_files_are_found():
    assert len(FILES) > 10
    assert len([*functions()]) > 40


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_times_are_those_of_the_moment_and_not_of_the_transactions_start(file):
    """A transaction may wait for a lock: by its start the silence of a node or the end of a block would be wrong."""
    found = re.search(r"\b(now\s*\(|current_timestamp|transaction_timestamp|localtimestamp)", file.read_text().lower())
    assert found is None


@pytest.mark.parametrize(("name", "head", "body"), [*functions()])
def test_a_function_is_told_from_a_later_one_and_needs_no_session(name, head, body):
    """Nodes of two releases call it beside each other, also through a pooler that gives each call another backend."""
    assert re.fullmatch(r"\w+_v[0-9]+", name)
    assert not re.search(r"pg_(try_)?advisory|\bLISTEN\b|\bSET SESSION\b|\bTEMP", head + body)


@pytest.mark.parametrize(("name", "head", "body"), [*functions()])
def test_only_changes_notify(name, head, body):
    """Each commit with a notification waits for the one before, of all sessions: a login must not be one of them."""
    assert ("pg_notify" in body) == name.startswith("publish_")
