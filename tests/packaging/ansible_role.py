# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible role on a bare system with systemd: ``make package-test``.

    python -m tests.packaging.ansible_role PACKAGE.deb ROOT.tar TOOLS

TOOLS is an environment with ansible-core. It is mounted into a container (``nspawn``), and runs there on the host
itself. The role installs the package and sets a server up; a client connects. The same variables change nothing.
Changed keys are in force after a reload, or after a restart from which the client comes back. A broken configuration
changes nothing.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from lab.namespaces import Claim, Namespace
from lab.server import INNER_IPV4, PASSWORD, rule_document
from lab.timeouts import TIMEOUT
from tests.packaging.lifecycle import expect
from tests.packaging.nspawn import Container
from tests.packaging.returning import MAIN_PROCESS, connect, host_of

SOURCE = Path(__file__).parents[2] / "contrib" / "ansible"
TOOLS, PLAYS = Path("/opt/controller"), Path("/srv/ansible")  # in the container
RULES = json.loads(rule_document([{"id": "scanners", "type": "blacklist", "remote_addr": "198.51.100.0/24"}]))
VARIABLES: dict[str, Any] = {
    "ocsentry_names": ["vpn.example.org"],
    "ocsentry_email": "ops@example.org",
    "ocsentry_full_tunnel": True,
    "ocsentry_dns": ["9.9.9.9"],
    "ocsentry_never_block": ["203.0.113.0/24"],
    "ocsentry_rules": {"scanners": RULES},
    "ocsentry_users": [{"name": "alice", "password": PASSWORD, "groups": ["staff"]}],
    "ocsentry_config": {"vpn": {"network": {"ipv4_pool": "192.168.99.0/24"}}},
}


class Controller:
    """Runs the role in the container, with variables."""

    def __init__(self, container: Container, package: str) -> None:
        self._container = container
        self.variables = {**VARIABLES, "ocsentry_package": package}
        play = {"hosts": "localhost", "connection": "local", "roles": ["ocsentry"]}
        (container.root / "srv" / "play.json").write_text(json.dumps([play]))

    def play(self, **changes: Any) -> tuple[int, int, str]:
        """Returns how many tasks changed something, how many failed, and the output."""
        self.variables |= changes
        (self._container.root / "srv" / "vars.json").write_text(json.dumps(self.variables))
        said = self._container.run(
            f"cd /srv && ANSIBLE_ROLES_PATH={PLAYS}/roles {TOOLS}/bin/python -m ansible playbook -i localhost, "
            "-e ansible_python_interpreter=/usr/bin/python3 -e @vars.json play.json 2>&1",
            check=False,
        )
        found = re.search(r"changed=(\d+) .*failed=(\d+)", said)
        if found is None:
            raise SystemExit(f"the playbook does not run:\n{said}")
        return int(found[1]), int(found[2]), said


def try_role(container: Container, client: Namespace, package: str) -> None:
    controller, host = Controller(container, package), host_of(client)
    changed, failed, said = controller.play()
    if failed:
        raise SystemExit(said)
    expect(changed >= 5, f"the role sets a server up ({changed} changes)")
    expect(PASSWORD not in said, "no password is shown")
    pin = re.findall(r"pin-sha256:\S+", container.run("ocsentry cert show"))[0]
    tunnel = connect(host, pin)
    tunnel.await_up()
    expect(tunnel.ping(INNER_IPV4) == 1.0, "a client connects, and packets pass")
    expect("masquerade" in container.run("nft list table inet ocsentry_clients"), "addresses are translated")
    expect("scanners" in container.run("ocsentry explain 198.51.100.7", check=False), "the rule is in force")
    expect("FAIL" not in container.run("ocsentry doctor", check=False), "doctor finds no failure")

    expect(controller.play()[:2] == (0, 0), "the same variables change nothing")

    process = container.run(MAIN_PROCESS)
    network = {"ipv4_pool": "192.168.99.0/24"}
    controller.play(ocsentry_config={"vpn": {"limits": {"max_same_clients": 5}, "network": network}})
    shown = json.loads(container.run("ocsentry settings show vpn.limits.max_same_clients --json"))
    expect(re.search(r"\b5\b", json.dumps(shown)), "a changed limit is in force")
    expect(container.run(MAIN_PROCESS) == process, "without a restart")

    before = container.run("cat /etc/ocsentry/ocsentry.toml")
    _, failed, said = controller.play(ocsentry_config={"vpn": {"limits": {"max_same_client": 5}}})
    expect(failed == 1, "a misspelt key is refused")
    expect("max_same_client" in said, "and named")
    expect(container.run("cat /etc/ocsentry/ocsentry.toml") == before, "the file stays")

    seen = len(tunnel.lines)
    controller.play(ocsentry_config={"vpn": {"worker_threads": 1, "network": network}})
    tunnel.await_reconnected(8 * TIMEOUT, since=seen)
    expect(container.run(MAIN_PROCESS) != process, "a key that needs a restart gets one, and the client comes back")
    expect(controller.play(ocsentry_rules={"scanners": None})[1] == 0, "a rule file is removed")
    expect(
        "scanners" not in container.run("ocsentry explain 198.51.100.7", check=False), "and its rule is out of force"
    )
    expect(controller.play()[:2] == (0, 0), "the same variables change nothing again")
    tunnel.goodbye()


def main() -> None:
    package, archive, tools = map(Path, sys.argv[1:4])
    claim = Claim()
    try:
        with tempfile.TemporaryDirectory(prefix="ocsentry-role-") as scratch:
            client = Namespace.create(claim.name("pkg"))
            container = Container(archive, Path(scratch) / "root", bind={tools: TOOLS, SOURCE: PLAYS})
            try:
                shutil.copy(package, container.root / "srv" / package.name)
                container.plug(client)
                try_role(container, client, f"/srv/{package.name}")
            finally:
                container.stop()
    finally:
        claim.release()


if __name__ == "__main__":
    main()
