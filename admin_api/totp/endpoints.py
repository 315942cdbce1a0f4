# SPDX-License-Identifier: GPL-3.0-or-later
"""``/users/{name}/totp``."""

from typing import Any
from urllib.parse import quote

import segno
from fastapi import Response, status

from admin_api.dependencies import ServicesOf, UsersRead, UsersWrite
from admin_api.http.path_segments import BY_NAME
from admin_api.http.paths import API_PREFIX
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.second_factors.totp_issuer import TotpIssuer
from admin_api.services import Services
from admin_api.totp import service
from admin_api.totp.schemas import TotpCode, TotpConfirmation, TotpEnrolment, TotpView
from vpn_frontend.auth.totp.codes import render_secret, render_uri

QR_SCALE = 4  # pixels of one module
NO_KEY = "The server has no key for secrets of one-time passwords: set auth.totp.key_file and start it again"

router = resource_router(f"/users{BY_NAME}/totp", tag="users")


@router.get("", responses=responses(ProblemKind.NOT_FOUND))
async def get_totp(name: str, _: UsersRead, services: ServicesOf) -> TotpView:
    """Get the state of a user's one-time passwords."""
    return TotpView(**_view(await service.get_enrolment(services.store, name)))


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=responses(ProblemKind.NOT_FOUND, ProblemKind.ALREADY_EXISTS, ProblemKind.UNAVAILABLE),
)
async def enrol_totp(name: str, caller: UsersWrite, services: ServicesOf, response: Response) -> TotpEnrolment:
    """Make a secret for a user. Only this answer contains it. It replaces one that was never confirmed."""
    issuer = _issuer(services)
    enrolment, secret = await service.begin_enrolment(services.store, issuer, name, by=caller.name)
    uri = render_uri(secret, issuer=issuer.name, user=enrolment.user.name)
    svg = segno.make_qr(uri, error="m").svg_inline(scale=QR_SCALE, light="white")
    response.headers["Location"] = f"{API_PREFIX}/users/{quote(enrolment.user.name, safe='')}/totp"
    response.headers["Cache-Control"] = "no-store"
    return TotpEnrolment(**_view(enrolment), secret=render_secret(secret), uri=uri, svg=svg)


@router.post(
    "/confirm", responses=responses(ProblemKind.NOT_FOUND, ProblemKind.ALREADY_EXISTS, ProblemKind.UNAVAILABLE)
)
async def confirm_totp(
    name: str, body: TotpCode, caller: UsersWrite, services: ServicesOf, response: Response
) -> TotpConfirmation:
    """Confirm a user's secret by a code of the app. Logins of the user need a code from now on."""
    code = body.code.get_secret_value()
    enrolment, codes = await service.confirm_enrolment(services.store, _issuer(services), name, code, by=caller.name)
    response.headers["Cache-Control"] = "no-store"
    return TotpConfirmation(**_view(enrolment), codes=list(codes))


@router.delete("", status_code=status.HTTP_204_NO_CONTENT, responses=responses(ProblemKind.NOT_FOUND))
async def reset_totp(name: str, caller: UsersWrite, services: ServicesOf) -> None:
    """Remove a user's secret and backup codes, for a device that is lost."""
    await service.reset_enrolment(services.store, name, by=caller.name)


def _issuer(services: Services) -> TotpIssuer:
    if services.totp is None:
        raise ApiError(ProblemKind.UNAVAILABLE, NO_KEY)
    return services.totp


def _view(enrolment: service.Enrolment) -> dict[str, Any]:
    row = enrolment.row
    state = "none" if row is None else "pending" if row.confirmed_at is None else "active"
    return {
        "state": state,
        "created_at": None if row is None else row.created_at,
        "confirmed_at": None if row is None else row.confirmed_at,
        "backup_codes": enrolment.backup_codes,
    }
