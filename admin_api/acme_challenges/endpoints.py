# SPDX-License-Identifier: GPL-3.0-or-later
"""``/acme-challenges``."""

from datetime import timedelta

from fastapi import status

from admin_api.acme_challenges.schemas import AcmeChallenge, AcmeChallengeCreate
from admin_api.dependencies import ServicesOf, SettingsWrite
from admin_api.http.path_segments import BY_NAME
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from vpn_frontend.gateway.certificates.acme_challenges import LIFETIME, TooManyChallengesError

router = resource_router("/acme-challenges", tag="settings")


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=responses(ProblemKind.TABLE_FULL, ProblemKind.UNAVAILABLE),
)
async def create_acme_challenge(
    body: AcmeChallengeCreate, caller: SettingsWrite, services: ServicesOf
) -> AcmeChallenge:
    """Answer an ACME server that validates a name over the VPN's port (tls-alpn-01, RFC 8737).

    An earlier challenge of the name is replaced. Other clients of the port see nothing of it.
    """
    if services.acme is None:
        raise ApiError(ProblemKind.UNAVAILABLE, "No server runs")
    try:
        services.acme.put(body.name, body.key_authorization, services.clock.monotonic())
    except TooManyChallengesError as error:
        raise ApiError(ProblemKind.TABLE_FULL, str(error)) from None
    async with services.store.write() as unit:
        await unit.audit.add(caller.name, "acme_challenge_created", body.name)
    expires_at = services.clock.wall() + timedelta(seconds=LIFETIME)
    return AcmeChallenge(name=body.name.lower(), expires_at=expires_at)


@router.delete(
    BY_NAME,
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(ProblemKind.NOT_FOUND),
)
async def delete_acme_challenge(name: str, _: SettingsWrite, services: ServicesOf) -> None:
    """Remove a challenge."""
    if services.acme is None or not services.acme.remove(name):
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no challenge of {name}")
