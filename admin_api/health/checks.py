# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server checks of itself: each check by name, with what it found wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from admin_api.store.failures import describe_failure

if TYPE_CHECKING:
    from admin_api.services import Services


class Checked(NamedTuple):
    """``problems``: one line each; none: all is well."""

    name: str
    problems: tuple[str, ...]


async def run_checks(services: Services) -> list[Checked]:
    """Run every check, in order: the policy, the database, then those of the composition root."""
    failure = services.enforcement.status().failure
    done = [Checked("policy", () if failure is None else tuple(map(str, failure.problems)))]
    if services.fleet is None or services.fleet.needs_store:
        done.append(Checked("store", await _check_store(services)))
    for name, check in services.checks.items():
        said = await check()
        done.append(Checked(name, () if said is None else (said,)))
    return done


def list_problems(checks: list[Checked]) -> list[str]:
    """Returns why the server is not ready, one line each; an empty list means ready."""
    return [f"{check.name}: {problem}" for check in checks for problem in check.problems]


async def _check_store(services: Services) -> tuple[str, ...]:
    try:
        await services.store.check()
    except Exception as error:  # noqa: BLE001 - any error of the database means not ready
        return (describe_failure(error),)
    return ()
