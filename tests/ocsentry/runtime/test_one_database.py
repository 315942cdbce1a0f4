# SPDX-License-Identifier: GPL-3.0-or-later
"""Two whole servers on one PostgreSQL database: the second ends before it reads a row, the first serves on.

namespace 1, namespace 2: lo, the TUN device that a server makes
"""

from __future__ import annotations

import os
import re
import shutil

import pytest

from lab.namespaces import Claim, Namespace
from lab.services.postgresql import running_postgresql
from lab.timeouts import TIMEOUT
from tests.ocsentry.command_line import CommandLine
from tests.ocsentry.served import Served, links, serving

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run PostgreSQL as its own user"),
]


@pytest.fixture
def postgresql():
    with running_postgresql() as server:
        yield server


@pytest.fixture
def namespaces():
    claim = Claim()
    yield [Namespace.create(claim.name(f"pg{number}")).name for number in (1, 2)]
    claim.release()


@pytest.fixture
def command_lines(initialised, tmp_path, postgresql):
    made = []
    for name in ("first", "second"):
        shutil.copytree(initialised, tmp_path / name)
        made.append(CommandLine(tmp_path / name))
        text = made[-1].config.read_text()
        text = re.sub(r"(?ms)^\[store\]\n.*?(?=^\[|\Z)", "", text) + f'\n[store]\nurl = "{postgresql.url}"\n'
        made[-1].config.write_text(text)
    return made


def test_the_second_server_ends_and_the_first_serves_on(command_lines, namespaces):
    first, second = command_lines
    with serving(Served(first, namespaces[0])) as server:
        first.ok("block", "203.0.113.7")
        refused = Served(second, namespaces[1])
        assert refused.process.wait(TIMEOUT) == 1
        refused._reader.join(TIMEOUT)
        refused.notify.close()
        said = [line for line in refused.lines if line.startswith("ocsentry: ")]
        refusal = r"ocsentry: store.url: another server uses this database \(PostgreSQL's process \d+"
        assert re.match(refusal, said[0]), refused.lines
        assert "Traceback" not in "".join(refused.lines)
        assert "ocs0" not in links(namespaces[1])
        assert first.json("status")["ready"]
        assert [block["cidr"] for block in first.json("blocks")] == ["203.0.113.7/32"]
        assert server.stop() == 0
    (second.folder / "notify").unlink()
    with serving(Served(second, namespaces[1])) as server:  # the claim ended with the first server
        assert [block["cidr"] for block in second.json("blocks")] == ["203.0.113.7/32"]
        assert server.stop() == 0
