# SPDX-License-Identifier: GPL-3.0-or-later
"""What the models of the configuration share: types of values, and keys with default, description and unit."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    Strict,
    ValidationInfo,
)

from vpn_frontend.settings import Address, Endpoint, Network, parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable


def _resolve(path: Path, info: ValidationInfo) -> Path:
    return info.context["base"] / path if info.context and path != Path() else path


def _read_network(text: str) -> Network:
    """Returns the network. Raises ``ValueError`` for host bits: ignoring them would widen a list by mistake."""
    return ip_network(text)


def _read_endpoints(value: object) -> object:
    """Returns a list for one ``"ADDRESS:PORT"``; empty text is an empty list."""
    if isinstance(value, str):
        return [value] if value else []
    return value


def empty_as_none(value: object) -> object:
    return None if value == "" else value


def _pool(family: type[IPv4Network | IPv6Network]) -> Callable[[str], Network]:
    def read(text: str) -> Network:
        network = ip_network(text)
        if not isinstance(network, family):
            raise ValueError(f"{text!r} is of the other address family")  # noqa: TRY004 - the text is wrong, not its type
        return network

    return read


def parsed(read: Callable[[str], Any]) -> BeforeValidator:
    """Accepts text only (the address types would also take numbers)."""

    def parse(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("should be text in quotes")  # noqa: TRY004 - pydantic reports ValueError only
        return read(value)

    return BeforeValidator(parse)


def _as_toml(value: object) -> object:
    if isinstance(value, tuple):
        return [_as_toml(entry) for entry in value]
    if isinstance(value, bool | int | list):
        return value
    return "" if value is None else str(value)


def one_or_list(endpoints: tuple[Endpoint, ...]) -> object:
    """Text for one endpoint or none, as ``_read_endpoints`` reads it."""
    return _as_toml(endpoints) if len(endpoints) > 1 else ", ".join(str(endpoint) for endpoint in endpoints)


def field(default: Any, description: str, *, unit: str = "", **rules: Any) -> Any:  # noqa: ANN401 - Field's own shape
    """One key: its default, description, unit and bounds. The default is TOML, or a value of the VPN's settings."""
    return Field(default=_as_toml(default), description=description, json_schema_extra={"unit": unit}, **rules)


def section() -> Any:  # noqa: ANN401 - Field's own shape
    """An optional table: a missing one is validated from an empty one, so that its default paths are resolved."""
    return Field(default_factory=dict)


Seconds = Annotated[int, Strict()]
Count = Annotated[int, Strict()]
Switch = Annotated[bool, Strict()]
FilePath = Annotated[Path, AfterValidator(_resolve)]
OptionalPath = Annotated[FilePath | None, BeforeValidator(empty_as_none)]
AnyNetwork = Annotated[SkipValidation[Network], parsed(_read_network)]
AnyAddress = Annotated[SkipValidation[Address], parsed(ip_address)]
IPv4Pool = Annotated[SkipValidation[IPv4Network], parsed(_pool(IPv4Network))]
IPv6Pool = Annotated[SkipValidation[IPv6Network], parsed(_pool(IPv6Network))]
ListenAddress = Annotated[SkipValidation[Endpoint], parsed(parse_endpoint)]
ListenAddresses = Annotated[tuple[ListenAddress, ...], BeforeValidator(_read_endpoints)]
DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$")]  # IFNAMSIZ: 15 characters and a NUL
SECONDS = "seconds"
NEVER = "seconds; 0: never"
YEAR = 365 * 86_400


class Section(BaseModel):
    """One table. Unknown keys are errors, so that a typo cannot silently disable a limit."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
