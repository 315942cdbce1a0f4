# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.radius]`` and ``[accounting]``: RADIUS servers, what is taken from them, and what they are told."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Self

from pydantic import BeforeValidator, SkipValidation, model_validator

from ocsentry.configuration.fields import (
    SECONDS,
    Count,
    FilePath,
    Seconds,
    Section,
    Switch,
    empty_as_none,
    field,
    parsed,
)
from ocsentry.configuration.sections.pam import OptionalServiceName
from vpn_frontend.settings import Endpoint, RadiusServer, RadiusSettings, parse_endpoint

RADIUS = RadiusSettings()  # its defaults are those of the file
LOGIN_PORT = 1812  # RFC 2865; accounting has the next one
MAX_SERVERS = 8
MAX_WAIT = 110  # seconds for all servers together: less than a method may take


def _read_server(text: str) -> Endpoint:
    """``ADDRESS:PORT``, or an address alone. Raises ``ValueError``."""
    try:
        return Endpoint(ip_address(text.strip()), LOGIN_PORT)
    except ValueError:
        return parse_endpoint(text)


ServerEndpoint = Annotated[SkipValidation[Endpoint], parsed(_read_server)]


class RadiusServerSection(Section):
    """One entry of ``auth.radius.servers``."""

    address: ServerEndpoint
    secret_file: FilePath
    accounting: Annotated[ServerEndpoint | None, BeforeValidator(empty_as_none)] = None
    require_message_authenticator: Switch | None = None


class RadiusSection(Section):
    servers: tuple[RadiusServerSection, ...] = field(
        (),
        'Servers in the order in which they are asked: `{address = "192.0.2.1:1812", secret_file = "radius.secret"}`. '
        "The port may be left out. `accounting`: address for accounting, if it is not the next port. "
        "`require_message_authenticator`: for this server alone.",
        max_length=MAX_SERVERS,
    )
    timeout: Seconds = field(
        RADIUS.timeout,
        "How long a server has for an answer, over all tries. The waits between tries double. A server that asks the "
        "user's phone needs about 60.",
        unit=SECONDS,
        ge=1,
        le=MAX_WAIT,
    )
    retries: Count = field(RADIUS.retries, "Repetitions of a request.", unit="repetitions", ge=0, le=10)
    dead_time: Seconds = field(
        RADIUS.dead_time,
        "How long a server without an answer is passed over, while another one answers.",
        unit=SECONDS,
        ge=0,
        le=3600,
    )
    nas_identifier: str = field(
        RADIUS.nas_identifier, "Name by which the servers know this one.", min_length=1, max_length=64
    )
    default_realm: str = field(RADIUS.default_realm, "Appended to a user name without `@`, after one.", max_length=128)
    group_config: Switch = field(
        RADIUS.group_config,
        "Take settings of the session from the Access-Accept: address, routes, DNS, times and bandwidth.",
    )
    bandwidth_unit: Count = field(
        RADIUS.bandwidth_unit,
        "Unit of the servers' bandwidth limits (vendor 10055). 1000: as ocserv reads them; 125: kbit/s.",
        unit="bytes/s",
        ge=1,
        le=1_000_000,
    )
    require_message_authenticator: Switch = field(
        True,
        "Drop answers without Message-Authenticator. Without it an attacker on the path can forge one (CVE-2024-3596).",
    )

    @model_validator(mode="after")
    def _waits_fit_a_login(self) -> Self:
        if self.longest_wait > MAX_WAIT:
            raise ValueError(
                f"timeout: {len(self.servers)} servers of {self.timeout} seconds each: at most {MAX_WAIT} together"
            )
        return self

    def find_problem(self, login_timeout: int) -> str | None:
        """What is missing for the method ``radius``, or does not fit logins of that many seconds; ``None``: nothing."""
        if not self.servers:
            return "the method radius needs auth.radius.servers"
        if self.longest_wait >= login_timeout:
            return (
                f"auth.radius.timeout: logins end after {login_timeout} seconds (auth.timeout), "
                f"and its servers may take {self.longest_wait}"
            )
        return None

    @property
    def longest_wait(self) -> int:
        """Seconds until every server has failed to answer."""
        return len(self.servers) * self.timeout

    def settings(self) -> RadiusSettings:
        """The settings of ``vpn_frontend``."""
        return RadiusSettings(
            servers=tuple(self._server(one) for one in self.servers),
            timeout=self.timeout,
            retries=self.retries,
            dead_time=self.dead_time,
            nas_identifier=self.nas_identifier,
            default_realm=self.default_realm,
            group_config=self.group_config,
            bandwidth_unit=self.bandwidth_unit,
        )

    def _server(self, one: RadiusServerSection) -> RadiusServer:
        own = one.require_message_authenticator
        return RadiusServer(
            address=one.address,
            accounting=one.accounting or Endpoint(one.address.address, min(one.address.port + 1, 65535)),
            secret_file=one.secret_file,
            require_message_authenticator=self.require_message_authenticator if own is None else own,
        )


class AccountingSection(Section):
    pam: Switch = field(
        False,
        "Check the account and open a session of PAM before a tunnel is opened, which either may refuse, and close it "
        "when the session has ended. Modules get `OCSENTRY_SESSION`, the session's number, in PAM's environment.",
    )
    pam_service: OptionalServiceName = field("", "PAM service of these sessions. Empty: `auth.pam.service`.")
    radius: Switch = field(False, "Tell the servers of `auth.radius.servers` of each session.")
    interim: Seconds = field(
        300,
        "Interval of updates while a session lasts. A server may set another one for a session.",
        unit="seconds; 0: none",
        ge=0,
        le=86_400,
    )
    refuse_without: Switch = field(
        False,
        "Open no session while no accounting server answers, and end one whose start none has taken.",
    )
