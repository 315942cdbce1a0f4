# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of settings in files and requests: strict values, read from text, with errors that say what to write."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SkipValidation,
    Strict,
    StringConstraints,
    WithJsonSchema,
)

from vpn_frontend.settings import Address, Network, PortRule, parse_port_rule

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = "seconds"
NEVER = "seconds; 0: never"
YEAR = 365 * 86_400
DOMAIN = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?"
MAX_DYNAMIC = 1500  # characters of the names in each of two lists, which travel in one header of 4 KB
SHOWN_TEXT = r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*$"  # no control characters but line ends


class Section(BaseModel):
    """One table. Unknown keys are errors, so that a typo cannot silently disable a limit."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)


def field(default: Any, description: str, *, unit: str = "", **rules: Any) -> Any:  # noqa: ANN401 - Field's own
    """One key: its default, description, unit and bounds. The default is TOML, or a value of the VPN's settings."""
    return Field(default=as_toml(default), description=description, json_schema_extra={"unit": unit}, **rules)


def as_toml(value: object) -> object:
    """Returns the value of a setting as TOML and JSON have it; ``None`` is empty text."""
    if isinstance(value, tuple):
        return [as_toml(entry) for entry in value]
    if isinstance(value, bool | int | list):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return "" if value is None else str(value)


def empty_as_none(value: object) -> object:
    return None if value == "" else value


def parsed(read: Callable[[str], Any]) -> BeforeValidator:
    """Accepts text only (the address types would also take numbers)."""

    def parse(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("should be text in quotes")  # noqa: TRY004 - pydantic reports ValueError only
        return read(value)

    return BeforeValidator(parse)


def _refuse_long(domains: tuple[str, ...]) -> tuple[str, ...]:
    if sum(map(len, domains)) > MAX_DYNAMIC:
        raise ValueError(f"the names have more than {MAX_DYNAMIC} characters together, which clients do not read")
    return domains


def _refuse_mixed(rules: tuple[PortRule, ...]) -> tuple[PortRule, ...]:
    if len({rule.denied for rule in rules}) > 1:
        raise ValueError("write ! in front of all entries or of none")
    return rules


def _read_network(text: str) -> Network:
    """Returns the network. Raises ``ValueError`` for host bits: ignoring them would widen a list by mistake."""
    return ip_network(text)


def _pool(family: type[IPv4Network | IPv6Network]) -> BeforeValidator:
    def read(text: str) -> Network | None:
        network = ip_network(text) if text else None
        if network is not None and not isinstance(network, family):
            raise ValueError(f"{text!r} is of the other address family")
        return network

    return parsed(read)


def _text(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


_SHOWN = PlainSerializer(as_toml)
Seconds = Annotated[int, Strict()]
Count = Annotated[int, Strict()]
Bytes = Annotated[int, Strict()]
Switch = Annotated[bool, Strict()]
AnyNetwork = Annotated[SkipValidation[Network], parsed(_read_network), _SHOWN, _text("10.0.0.0/8")]
AnyAddress = Annotated[SkipValidation[Address], parsed(ip_address), _SHOWN, _text("192.0.2.53")]
V4Address = Annotated[SkipValidation[IPv4Address], parsed(IPv4Address), _SHOWN, _text("192.0.2.53")]
IPv4Pool = Annotated[SkipValidation[IPv4Network | None], _pool(IPv4Network), _SHOWN, _text("192.168.99.0/24")]
IPv6Pool = Annotated[SkipValidation[IPv6Network | None], _pool(IPv6Network), _SHOWN, _text("fd00:99::/64")]
Ports = Annotated[SkipValidation[PortRule], parsed(parse_port_rule), _SHOWN, _text("tcp/443")]
PortRules = Annotated[tuple[Ports, ...], AfterValidator(_refuse_mixed)]
DomainName = Annotated[str, StringConstraints(pattern=rf"^{DOMAIN}$")]
DynamicDomains = Annotated[tuple[DomainName, ...], AfterValidator(_refuse_long)]
SearchDomains = Annotated[str, StringConstraints(pattern=rf"^({DOMAIN}( {DOMAIN})*)?$", max_length=253)]
WebAddress = Annotated[str, StringConstraints(pattern=r"^(https?://[!-~]+)?$", max_length=1024)]
ShownText = Annotated[str, StringConstraints(pattern=SHOWN_TEXT, max_length=1024)]
DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$")]  # IFNAMSIZ: 15 characters and a NUL
