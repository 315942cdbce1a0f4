# SPDX-License-Identifier: GPL-3.0-or-later
"""Which portal a host shows: what its logins ask, and how they begin."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vpn_frontend.auth.certificate.identity import CertificateFields, CertificateNameError, read_identity
from vpn_frontend.auth.group_logins import plan_of
from vpn_frontend.protocol.client_page import ClientPage
from vpn_frontend.protocol.connection import LOGIN_PATHS, PHONE_PATHS, LoginShape, PortalConfig
from vpn_frontend.protocol.login_attempts import LoginAttempts

HTTPS = 443  # the port that an address without one means

if TYPE_CHECKING:
    from vpn_frontend.auth.login_plan import LoginPlan
    from vpn_frontend.gateway.interface import TlsHost
    from vpn_frontend.protocol.camouflage import Camouflage
    from vpn_frontend.settings import AuthSettings, VpnSettings


def make_portal_config(
    settings: VpnSettings, auth: AuthSettings, tls: TlsHost, camouflage: Camouflage | None
) -> PortalConfig:
    """The portal of a host with ``auth``, offering the groups of ``auth`` alone."""
    return PortalConfig(
        logins=LoginAttempts(auth.timeout),
        attempts=auth.attempts,
        groups=auth.groups,
        certificate_sha1=tls.certificates[0].sha1,
        no_group_label=auth.no_group_label,
        pre_login_banner=auth.pre_login_banner,
        shape=_shape_of(plan_of(auth.rules), auth),
        group_shapes=login_shapes(auth),
        any_group=auth.unoffered_groups or auth.certificate.ask_group,
        client_page=_client_page(settings, tls),
        has_browser_pages="oidc" in auth.named_methods,
        kdc_paths=frozenset(one.path for one in settings.kdc_proxy),
        camouflage=camouflage,
        login_paths=PHONE_PATHS if settings.ip_phones else LOGIN_PATHS,
        reads_strap=auth.strap != "off",
        http_headers=settings.http_headers,
    )


def certificate_fields(auth: AuthSettings) -> CertificateFields | None:
    """Where certificates name the groups that a form offers; ``None``: there is no form, or nowhere."""
    names = auth.certificate
    if not names.group_field or not auth.asks_for_certificates or not plan_of(auth.rules).has_form:
        return None
    return CertificateFields(names.user_field, names.group_field)


def offer_certificate_groups(portal: PortalConfig, certificate: bytes, fields: CertificateFields) -> PortalConfig:
    """``portal`` offering the groups of a client's certificate, too. One that names no user offers none."""
    try:
        named = read_identity(certificate, fields).groups
    except CertificateNameError:
        return portal
    return replace(portal, groups=tuple(dict.fromkeys((*portal.groups, *named))))


def _client_page(settings: VpnSettings, tls: TlsHost) -> ClientPage | None:
    """The page names the host, or the first name of its certificate. Without a name there is none."""
    name = tls.name or tls.certificates[0].name
    if not settings.client_page or not name:
        return None
    port = settings.listen[0].port
    return ClientPage(name if port == HTTPS else f"{name}:{port}")


def login_shapes(auth: AuthSettings) -> dict[str, LoginShape]:
    """How logins by each group with rules of its own begin."""
    return {group: _shape_of(plan_of(rules), auth) for group, rules in auth.group_rules.items()}


def _shape_of(plan: LoginPlan, auth: AuthSettings) -> LoginShape:
    return LoginShape(
        begins_at_init=plan.begins_at_init,
        has_form=plan.has_form,
        needs_bearer=plan.alternatives == ("bearer",),
        form_has_code=auth.totp.in_first_form and plan.has_form and "totp" in plan.after,
    )
