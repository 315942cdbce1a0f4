# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders ``docs/api.md``: operations, kinds of events and problems, from the OpenAPI description."""

from __future__ import annotations

from admin_api.app import describe_api
from admin_api.event_schemas.union import render_events
from admin_api.http.problems import ProblemKind


def render_operations() -> str:
    lines = ["| operation | scope | what it does |", "|---|---|---|"]
    for path, methods in describe_api()["paths"].items():
        for method, operation in methods.items():
            scopes = [scope for needed in operation.get("security", []) for names in needed.values() for scope in names]
            said = operation.get("description", operation["summary"]).split("\n\n")[0].replace("\n", " ")
            lines.append(f"| `{method.upper()} {path}` | {', '.join(scopes) or '-'} | {said} |")
    return "\n".join(lines)


def render_problems() -> str:
    lines = ["| code | status | meaning |", "|---|---|---|"]
    lines += [f"| `{kind.code}` | {kind.status.value} | {kind.title} |" for kind in ProblemKind]
    return "\n".join(lines)


def render_reference() -> str:
    events = "\n".join(["| event | fields |", "|---|---|", *render_events()])
    return f"{render_operations()}\n\n### Kinds of events\n\n{events}\n\n### Problems\n\n{render_problems()}"
