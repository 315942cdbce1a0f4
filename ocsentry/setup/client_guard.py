# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks in the host's nftables rules for what keeps other hosts from beginning conversations with VPN clients.

The rules of ``ocsentry network up`` do. So does any chain at the hook forward that drops what goes out to the device,
or that drops by default. Rules of iptables-legacy are not seen.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

DEADLINE = 10.0  # seconds for the program nft
FAMILIES = {"inet": ("IPv4", "IPv6"), "ip": ("IPv4",), "ip6": ("IPv6",)}

Ruleset = list[dict[str, Any]]


def read_ruleset() -> Ruleset:
    """The rules of all tables. Raises ``OSError``: there is no program nft, or it may not read them."""
    command = ["nft", "--json", "list", "ruleset"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(0, "nft does not answer") from error
    if done.returncode:
        raise OSError(0, " ".join(done.stderr.split()) or "nft fails")
    found: Ruleset = json.loads(done.stdout)["nftables"]
    return found


def guarded_families(ruleset: Ruleset, device: str) -> set[str]:
    """Returns ``IPv4`` and ``IPv6`` as far as a chain at the hook forward drops packets that go out to ``device``."""
    forward = {
        _place(chain, "name"): chain for entry in ruleset if (chain := entry.get("chain", {})).get("hook") == "forward"
    }
    guards = {place for place, chain in forward.items() if chain.get("policy") == "drop"}
    for entry in ruleset:
        rule = entry.get("rule")
        if rule is not None and _place(rule, "chain") in forward and _drops_all_to(rule["expr"], device):
            guards.add(_place(rule, "chain"))
    return {family for place in guards for family in FAMILIES.get(place[0], ())}


def _place(entry: dict[str, Any], name: str) -> tuple[str, str, str]:
    return entry["family"], entry["table"], entry[name]


def _drops_all_to(expressions: list[dict[str, Any]], device: str) -> bool:
    """True for a rule that drops or rejects by the outgoing device alone."""
    matches = [one["match"] for one in expressions if "match" in one]
    verdicts = {word for one in expressions for word in one} & {"drop", "reject"}
    return bool(verdicts) and len(matches) == 1 and _names(matches[0], device)


def _names(match: dict[str, Any], device: str) -> bool:
    if match["op"] != "==" or match["left"] not in ({"meta": {"key": "oifname"}}, {"meta": {"key": "oif"}}):
        return False
    right = match["right"]
    names = right.get("set", []) if isinstance(right, dict) else [right]
    return any(name == device or (name.endswith("*") and device.startswith(name[:-1])) for name in names)
