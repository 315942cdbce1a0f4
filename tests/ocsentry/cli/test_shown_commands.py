# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command line of this program on the pages has arguments that exist, and works, or another test runs it.

What ``console`` blocks show is compared with what is printed: ``test_examples``.

namespace: lo, the TUN device that the server makes, nothing else
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import typer

from lab.namespaces import Claim, Namespace
from lab.server import rule_document
from ocsentry.cli.app import build_app
from tests.ocsentry.command_line import CommandLine
from tests.ocsentry.served import Served, serving
from tests.ocsentry.test_docs import PAGES, ROOT, blocks

PROGRAM = "ocsentry"
OPERATORS = "();<>|&"
# The beginnings of lines, and what runs them.
ELSEWHERE = {
    "cert acme": "tests/e2e/operation/test_acme.py",
    "db copy": "tests/ocsentry/cli/commands/test_database.py",
    "demo": "tests/e2e/operation/test_demo.py",
    "doctor": "tests/packaging/lifecycle.py",
    "import ocserv": "tests/ocsentry/setup/test_ocserv_import.py",
    "init": "tests/packaging/lifecycle.py",
    "rules rollback": "tests/ocsentry/cli/commands/policy/test_rule_versions.py",
    "serve --check --ocserv-conf": "tests/e2e/operation/test_from_ocserv.py",
    "user add": "tests/packaging/lifecycle.py",
    "user totp confirm": "tests/e2e/logins/test_totp.py",
    "webhook test": "tests/ocsentry/runtime/test_webhooks.py",
}
ENDLESS = ("top", "events")  # they show what comes until they are interrupted
NAMES, MANY = ("alice", "site7"), 30
RULE = rule_document([{"id": "no_lab", "type": "blacklist", "remote_addr": "192.0.2.0/25"}])
BEFORE = {"rules confirm": ("rules", "apply", "api.json", "--confirm-within", "2m")}  # the page's own changed nothing
FILES = {
    "api.json": rule_document([{"id": "no_store", "type": "blacklist", "remote_addr": "203.0.113.0/28"}]),
    "attackers.txt": "203.0.113.64/26\n",
    "networks.txt": "203.0.113.128/26\n",
    "new.json": RULE,
    "sshd.txt": "192.0.2.77 \t2026-11-30 10:00:00 + 600 = 2026-11-30 10:10:00\n",
    "decisions.json": "[]",
}


def lines_of(page):
    """Yields the words of each command line of the program in a page's shell blocks."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=OPERATORS)
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if word[0] not in OPERATORS:
                    words.append(word)
                    continue
                if words[:1] == [PROGRAM]:
                    yield words[1:]
                words = []


def elsewhere(words):
    line = " ".join(words)
    return next((test for beginning, test in ELSEWHERE.items() if f"{line} ".startswith(f"{beginning} ")), None)


APP = typer.main.get_command(build_app())
LINES = [(page, words) for page in PAGES for words in lines_of(page)]


@pytest.mark.parametrize(("page", "words"), LINES, ids=lambda one: one.name if isinstance(one, Path) else " ".join(one))
def test_a_shown_command_has_its_arguments(page, words):
    command, rest = APP, list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    command.make_context(PROGRAM, rest)


@pytest.mark.netns
def test_every_shown_command_works(initialised, tmp_path):
    """Those that need no other host, in the order of the pages, at one server."""
    folder = tmp_path / "server"
    shutil.copytree(initialised, folder)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    claim = Claim()
    failed, ran = [], 0
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            serving(Served(CommandLine(folder), Namespace.create(claim.name("shown")).name)) as server,
        ):
            patch.chdir(tmp_path)
            cli = server.command_line
            for name in NAMES:
                cli.ok("user", "add", name, "--password-stdin", stdin="correct horse battery staple\n")
            cli.ok("group", "add", "sites")
            for page, words in LINES:
                if elsewhere(words) is not None or words[0] in ENDLESS:
                    continue
                if before := BEFORE.get(" ".join(words)):
                    cli.ok(*before)
                done = cli.run(*words)
                ran += 1
                if done.returncode:
                    failed.append(f"{page.name}: {' '.join(words)}: exit {done.returncode}: {done.stdout}{done.stderr}")
            server.stop()
    finally:
        claim.release()
    assert not failed, "\n".join(failed)
    assert ran > MANY


def test_what_another_test_runs_is_shown_and_exists():
    assert [beginning for beginning in ELSEWHERE if not any(elsewhere(words) for _, words in LINES)] == []
    assert [test for test in ELSEWHERE.values() if not (ROOT / test).exists()] == []
