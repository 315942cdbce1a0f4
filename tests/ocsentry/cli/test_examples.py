# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of ``docs/commands.md`` and ``docs/cookbook.md`` are what the commands print.

``OCSENTRY_WRITE_EXAMPLES=1`` writes the outputs of the pages again.

namespace: lo, the TUN device that the server makes, nothing else
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from lab.namespaces import Claim, Namespace
from tests.ocsentry.command_line import CommandLine
from tests.ocsentry.served import Served, serving
from tests.ocsentry.test_docs import commands

pytestmark = pytest.mark.netns
DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "commands.md"
FLEET = "\n## Fleet\n"  # of PAGE: its examples are run by ``test_fleet_examples``
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
EXAMPLES = 50  # at least, of different commands
WRITE = "OCSENTRY_WRITE_EXAMPLES"
FILES = {
    "networks.txt": "198.51.100.0/24  # blocked already\n203.0.113.64/26\n",
    "abuse.list": "192.0.2.128/25\n",
    "password": "correct horse battery staple\n",
    "ocpasswd": "bob:staff:$5$saltsaltsalt$Np4vQXzVQVZRzXAwOWeF8GMFdzPPkgOj9cBrHXCkm/8\n",
    "rule.json": json.dumps({"id": "no_lab", "type": "blacklist", "remote_addr": "192.0.2.0/25"}),
    "60-imported.json": json.dumps(
        {
            "wolfsentry": {
                "version": "1.6.3",
                "rules": [{"id": "old", "type": "blacklist", "remote_addr": "203.0.113.9"}],
            }
        }
    ),
}
# What differs from run to run.
VOLATILE = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"ocs_[0-9a-f]{12}_[0-9a-f]{64}"), "TOKEN"),
    (re.compile(r"whsec_[A-Za-z0-9+/=]+"), "SECRET"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00| UTC)?"), "TIME"),
    (re.compile(r"\bup (\d+[dhms] ?)+"), "up TIME "),
    (re.compile(r"\b(ocsentry|version) \d+\.\d+\.\d+\S*"), r"\1 VERSION"),
    (re.compile(r"(latency_us|retry_after|asn)=[\d.]+"), r"\1=N"),
    (re.compile(r"secret=?\s*[A-Z2-7]{32,}"), "secret SECRET"),
    (re.compile(r"policy version \d+|version +\d+,"), "version N"),
    (re.compile(r"\+ \d{5,}"), "+ SECONDS"),
    (re.compile(r"^(abuse +1) +(\d+[dhms] )+", re.MULTILINE), r"\1 AGE "),
    (re.compile(r"^age +[\d.]+", re.MULTILINE), "age AGE"),
    (re.compile(r"^(n1 \(this\) +\w+ +\d+) +\d+ +\d+s", re.MULTILINE), r"\1 BEHIND SILENCE"),
    (re.compile(r"[ ]+"), " "),
)


def settled(text):
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    return text.strip()


def parse(block):
    """Yields the command lines of an example and their outputs."""
    for part in block.split("$ ")[1:]:
        line, _, output = part.partition("\n")
        yield line, output


def run(cli, line):
    words = shlex.split(line)
    assert words[0] == "ocsentry"
    stdin, lines = "", None
    if "|" in words:  # | head -N
        lines, words = int(words[-1].removeprefix("-")), words[: words.index("|")]
    if "<" in words:
        stdin, words = (cli.folder / words[-1]).read_text(), words[:-2]
    done = cli.run(*words[1:], stdin=stdin)
    output = (done.stdout + done.stderr).replace(str(cli.folder), "/etc/ocsentry")
    return "".join(output.splitlines(keepends=True)[:lines])


@pytest.fixture
def cli(initialised, tmp_path):
    """Each page has a server of its own: what the examples of another one did is not there."""
    folder = tmp_path / "server"
    shutil.copytree(initialised, folder)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    claim = Claim()
    here = Path.cwd()
    try:
        with serving(Served(CommandLine(folder), Namespace.create(claim.name("examples")).name)) as server:
            os.chdir(folder)
            yield server.command_line
            server.stop()
    finally:
        os.chdir(here)
        claim.release()


def renewed(cli, text):
    """Runs the examples of a text. Returns it with what they print now, and what differs from before."""
    wrong = []

    def renew(match):
        made = ""
        for line, shown in parse(match[1]):
            said = run(cli, line)
            if settled(said) != settled(shown):
                wrong.append(f"$ {line}\n{said}--- the page has:\n{shown}")
            made += f"$ {line}\n{said}"
        return f"```console\n{made}```"

    return BLOCK.sub(renew, text), wrong


@pytest.mark.parametrize("page", [PAGE, DOCS / "cookbook.md"], ids=lambda page: page.name)
def test_the_examples_are_what_the_commands_print(cli, page):
    text, *of_a_fleet = page.read_text().partition(FLEET)
    new, wrong = renewed(cli, text)
    if os.environ.get(WRITE):
        page.write_text(new + "".join(of_a_fleet))
    else:
        assert not wrong, "\n".join(wrong)


def test_most_commands_have_an_example():
    """``test_docs`` holds that the others are shown on some page."""
    shown = {tuple(shlex.split(line)[1:3]) for block in BLOCK.findall(PAGE.read_text()) for line, _ in parse(block)}
    shown |= {words[:1] for words in shown}
    assert len(set(commands()) & shown) >= EXAMPLES
