# SPDX-License-Identifier: GPL-3.0-or-later
"""``/console-links``."""

from datetime import timedelta

from fastapi import status

from admin_api.console_links.schemas import ConsoleLink, ConsoleLinkCreate
from admin_api.dependencies import ServicesOf, TokensWrite
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.one_time_codes import LIFETIME
from admin_api.roles import SCOPES

router = resource_router("/console-links", tag="tokens")


@router.post("", status_code=status.HTTP_201_CREATED, responses=responses())
async def create_console_link(body: ConsoleLinkCreate, caller: TokensWrite, services: ServicesOf) -> ConsoleLink:
    """Create a link that signs one person in to the console, with at most the caller's own scopes."""
    scopes = SCOPES[body.role]
    beyond = [scope.value for scope in sorted(scopes) if not caller.may(scope)]
    if beyond:
        raise ApiError(ProblemKind.FORBIDDEN, f"The caller does not have the scope {beyond[0]}")
    code = services.one_time_codes.create(body.name, scopes, services.clock.monotonic())
    url = f"{services.console_url}/sign-in?code={code}" if services.console_url else ""
    expires_at = services.clock.wall() + timedelta(seconds=LIFETIME)
    async with services.store.write() as unit:
        await unit.audit.add(caller.name, "console_link_created", body.name, role=body.role.value)
    return ConsoleLink(code=code, url=url, role=body.role, expires_at=expires_at)
