# SPDX-License-Identifier: GPL-3.0-or-later
"""``rules``: check, explain, list, simulate and reload the policy."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.commands.policy import rule_changes, rule_exchange, rule_versions
from ocsentry.cli.invocation import CommandError, Invocation, command, count
from ocsentry.cli.nouns import noun_group
from ocsentry.cli.tables import clean, render_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentry_engine import Policy, Verdict
    from sentry_engine.engine.decision_log import Decision
    from sentry_engine.prefixes import Origin

REMARKS = {  # of a step, by its reason
    "geoip_missing": "no database (policy.geoip_country, policy.geoip_asn)",
}
PathsArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]...", help="Rule files or folders. Default: the configuration's.")
]


def add_commands(app: typer.Typer) -> None:
    command(app, "explain")(explain)


def group() -> typer.Typer:
    app = noun_group(list_rules, "Check, explain and reload the policy.")
    command(app, "check")(check)
    command(app, "explain")(explain)
    command(app, "reload")(reload)
    command(app, "simulate")(simulate)
    rule_changes.add_commands(app)
    rule_exchange.add_commands(app)
    rule_versions.add_commands(app)
    command(app, "schema")(schema)
    return app


def check(cli: Invocation, paths: PathsArgument = None) -> None:
    """Check rule files: report errors and warnings, and run the tests in them. Needs no server."""
    from sentry_engine import find_policy_issues, run_rule_tests

    policy = _load(cli, paths or ())
    failed, issues = run_rule_tests(policy), find_policy_issues(policy)
    findings = [
        {"kind": f.kind.value, "rule": f.rule_id, "place": _place(f.origin), "text": f.text} for f in failed + issues
    ]
    document = {"files": list(policy.files), "problems": [], "findings": findings}
    tests = count(len(policy.rule_tests), "test")
    summary = f"{count(len(policy.files), 'rule file')} OK, {tests} passed"
    if failed:
        summary = f"{len(failed)} of {tests} failed"
    cli.emit(document, "\n".join([*map(str, failed), *map(str, issues), summary]))
    if failed:
        raise CommandError(summary)


def _place(origin: Origin) -> str:
    return f"{origin.file} {origin.pointer}"


def explain(
    cli: Invocation,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The source address.")],
    event: Annotated[str, typer.Option(metavar="EVENT", help="The event that the source causes.")] = "connect",
    user: Annotated[str | None, typer.Option(metavar="NAME", help="The user who logs in.")] = None,
) -> None:
    """Show how the policy decides about an address, tier by tier.

    Asks the running server, which includes penalties and blocks. Without a server only the rule files apply.
    """
    running = cli.server.running()
    if running:
        answer = cli.server.get("explain", address=address, event=event, user=user)
    else:
        answer = _explain_offline(cli, address, event, user)
    answer["asked"] = "server" if running else "rule files"
    cli.emit(answer, "\n".join([render_explanation(answer), *_what_decided(cli, answer)]))


def reload(cli: Invocation) -> None:
    """Reload the rule files. A file with an error changes nothing."""
    report = cli.server.post("policy/reload")
    cut = report.get("sessions_cut", 0)
    cli.emit(report, f"reloaded: policy version {report.get('version')}; {count(cut, 'session')} disconnected")


def list_rules(cli: Invocation) -> None:
    """List the rules in force, with the number of verdicts of each since the server's start."""
    rows = sorted(cli.server.items("rules"), key=lambda row: -row["hits"])
    cli.emit_table(rows, ("hits", "id", "source", "expires_at", "description"), "no rules")


def simulate(
    cli: Invocation,
    paths: PathsArgument = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            metavar="FILE",
            help="Events in the format of `events --json`. Default: the latest decisions of the running server.",
        ),
    ] = None,
) -> None:
    """Replay recorded decisions and show those that these rules change. Changes nothing."""
    from admin_api.event_hub import KEPT_DECISIONS
    from sentry_engine import simulate as play

    decisions = read_decisions(cli.server.get("decisions", limit=KEPT_DECISIONS)["items"] if record is None else record)
    never_block = cli.config.values.policy.never_block if cli.configured else ()
    changes = play(_load(cli, paths or ()), decisions, never_block=never_block)
    rows = [
        {
            "at": datetime.fromtimestamp(change.decision.at, UTC).isoformat(timespec="seconds"),
            "address": change.decision.address,
            "event": change.decision.event,
            "user": change.decision.user,
            "before": _show(change.before),
            "after": _show(change.after),
        }
        for change in changes
    ]
    summary = f"{len(rows)} of {count(len(decisions), 'decision')} would change"
    columns = ("at", "address", "event", "user", "before", "after")
    cli.emit(rows, f"{render_table(rows, columns)}\n{summary}" if rows else summary)


def read_decisions(source: Path | list[dict[str, Any]]) -> list[Decision]:
    """Returns the decisions in a file of JSON lines, or in rows of the API. Raises ``CommandError``."""
    from sentry_engine.engine.replay import read_record

    try:
        rows = source if isinstance(source, list) else [json.loads(line) for line in source.read_text().splitlines()]
        found = [read_record(datetime.fromisoformat(row["at"]).timestamp(), row["fields"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"{source}: not a record of decisions: {error}") from None
    return [decision for decision in found if decision is not None]


def _show(verdict: Verdict) -> str:
    rule = f", rule {verdict.rule_id}" if verdict.rule_id else ""
    return f"{verdict.action.value} ({verdict.reason.value}{rule})"


def schema(cli: Invocation) -> None:
    """Print the JSON schema of rule files, for use in editors."""
    from sentry_engine import rule_file_schema

    typer.echo(json.dumps(rule_file_schema(), indent=None if cli.as_json else 2))


def _load(cli: Invocation, paths: Sequence[Path] = ()) -> Policy:
    """Returns the policy of ``paths``, or of the configuration. Raises ``CommandError``."""
    from ocsentry.configuration.policy_files import load_policy
    from ocsentry.setup.service_user import ServiceUser
    from sentry_engine import Policy, PolicyError

    try:
        if paths and not cli.configured:
            return Policy.load(*paths)
        with ServiceUser.find_or_self(cli.config).borrowed() if not paths else nullcontext():
            return load_policy(cli.config.values.policy, *paths)
    except PolicyError as error:
        raise CommandError("\n".join(map(str, error.problems))) from None


def _explain_offline(cli: Invocation, address: str, event: str, user: str | None) -> dict[str, Any]:
    from dataclasses import asdict

    from sentry_engine import Engine

    policy = _load(cli)
    if policy.unfetched:
        raise CommandError(f"lists that were never downloaded could decide: {', '.join(sorted(policy.unfetched))}")
    engine = Engine(policy, never_block=cli.config.values.policy.never_block)
    try:
        return asdict(engine.explain(address, event=event, user=user))
    except ValueError as error:
        raise CommandError(str(error)) from None
    finally:
        engine.close()


def _what_decided(cli: Invocation, answer: dict[str, Any]) -> list[str]:
    """Returns what the walk leaves out: the deciding block, or that blocks and penalties were not asked."""
    from ocsentry.api_client.client import ClientError
    from sentry_engine import BLOCK_ID_PREFIX

    if answer["asked"] != "server":
        return ["  no server runs: by the rule files alone, without blocks, penalties and what limits have counted"]
    rule = answer["verdict"].get("rule_id") or ""
    if not rule.startswith(BLOCK_ID_PREFIX):
        return []
    try:
        block = cli.server.get(f"blocks/{rule.removeprefix(BLOCK_ID_PREFIX)}")
    except ClientError:
        return []  # it has ended meanwhile
    until = f"until {block['expires_at']}" if block["expires_at"] else "until it is removed"
    reason = f": {clean(block['reason'])}" if block["reason"] else ""
    return [f"  blocked by {clean(block['created_by'])} at {block['created_at']}, {until}{reason}"]


def render_explanation(answer: dict[str, Any]) -> str:
    """Returns one line per tier, the deciding one marked, and the verdict as the last line."""
    lines = []
    for step in answer["steps"]:
        mark = ">" if step["decisive"] else " "
        found = step["matched"] or "-"
        # The rule of the default is the limit that counted the event, which its own line shows.
        rule = f"  rule {step['rule_id']}" if step.get("rule_id") and step["tier"] != "default" else ""
        said = f"  {step['action']}" if step.get("action") else ""
        why = f"  {REMARKS[step['reason']]}" if step.get("reason") in REMARKS else ""
        lines.append(f"{mark} {step['tier']:<12} {found}{rule}{said}{why}")
    verdict = answer["verdict"]
    rule = f", rule {verdict['rule_id']}" if verdict.get("rule_id") else ""
    wait = f", again in {verdict['retry_after']:.0f} s" if isinstance(verdict.get("retry_after"), int | float) else ""
    lines.append(f"= {verdict['action']} ({verdict['reason']}{rule}{wait})")
    if answer.get("dropped_by_kernel"):
        lines.append("  the kernel drops its new connections (policy.kernel); the server does not see them")
    return "\n".join(lines)
