# SPDX-License-Identifier: GPL-3.0-or-later
"""Converts bans from and to other tools: fail2ban, CrowdSec, nftables.

Imported bans become a rule file with one rule per ban and its end. They are listed, checked and removed like other
rules. Exported bans are the addresses that the policy refuses now.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from admin_api.enforcement.api_rules import as_one_document
from admin_api.enforcement.blocks.enforced import block_rule_id
from ocsentry.configuration.policy_files import policy_loader
from ocsentry.errors import OperatorError
from sentry_engine import Engine, Policy, PolicyError, Reason
from sentry_engine.exchange.bans import bans_in_force
from sentry_engine.exchange.crowdsec import read_decisions, render_decisions
from sentry_engine.exchange.fail2ban import read_banlist, render_banlist
from sentry_engine.exchange.nftables import render_nftables

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ocsentry.api_client.client import ApiClient
    from ocsentry.configuration.sections.policy import PolicySection
    from sentry_engine.addresses import Network
    from sentry_engine.exchange.bans import Ban

ImportFormat = Literal["crowdsec", "fail2ban"]
ExportFormat = Literal["nftables", "crowdsec", "fail2ban"]
MAX_REASON = 200  # characters of a ban's reason that become a description


def convert_bans(path: Path, kind: ImportFormat) -> str:
    """Returns the bans of a file of ``kind`` as the text of a rule file. Raises ``OperatorError``."""
    now = time.time()
    try:
        text = path.read_text()
        if kind == "fail2ban":
            # The list names no time zone: its times are local to the exporting host, which is usually this one.
            bans = read_banlist(text, file=str(path), wall_now=now, zone=datetime.now().astimezone().tzinfo or UTC)
        else:
            bans = read_decisions(json.loads(text), file=str(path), wall_now=now)
    except PolicyError as error:
        raise OperatorError("\n".join(map(str, error.problems))) from None
    except ValueError as error:
        raise OperatorError(f"{path}: not a list of {kind}: {error}") from None
    rules = [_rule(ban, f"{path.stem}:{number}") for number, ban in enumerate(bans, start=1)]
    return json.dumps(as_one_document(rules), indent=1)


def _rule(ban: Ban, rule_id: str) -> dict[str, Any]:
    rule = {"id": rule_id, "type": "blacklist", "remote_addr": ban.text, "description": ban.reason[:MAX_REASON]}
    if ban.until is not None:
        rule["expires_at"] = datetime.fromtimestamp(ban.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return rule


def list_bans(policy: Policy, server: ApiClient | None, never_block: Iterable[Network] = ()) -> list[Ban]:
    """Returns the bans in force: rejecting rules, and a running server's blocks and penalties."""
    now = time.time()
    with Engine(policy, never_block=never_block) as engine:
        if server is not None:
            _add_live(engine, server)
        return list(bans_in_force(engine, now))


def policy_with_api_rules(load: Iterable[Path], settings: PolicySection, server: ApiClient | None) -> Policy:
    """Returns the policy of the files and of the rules made over the API of a running server."""
    documents = {} if server is None else {"api": server.get("policy")["api_rules"]}
    return policy_loader(settings)(*map(str, load), documents=documents)


def _add_live(engine: Engine, server: ApiClient) -> None:
    for block in server.items("blocks"):
        engine.block(
            block["cidr"],
            rule_id=block_rule_id(block["id"]),
            text=block["reason"],
            expires_at=_end(block["expires_at"]),
        )
    for penalty in server.items("penalties"):
        seconds = penalty["retry_after"]
        engine.penalize(
            penalty["network"],
            float("inf") if seconds is None else seconds,
            reason=Reason(penalty["reason"]),
            rule_id=penalty["rule_id"],
        )


def _end(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


def render_bans(bans: Iterable[Ban], target: ExportFormat) -> str:
    """Returns the input of ``nft -j -f -``, of ``cscli decisions import``, or of scripts of ``fail2ban-client``."""
    now = time.time()
    if target == "fail2ban":
        return render_banlist(bans, wall_now=now)
    document = render_nftables(bans, wall_now=now) if target == "nftables" else render_decisions(bans, wall_now=now)
    return json.dumps(document, indent=1) + "\n"
