# SPDX-License-Identifier: GPL-3.0-or-later
"""What the models of the configuration share: types of values, and keys with default, description and unit.

What groups and users may set too is in ``admin_api.session_settings.fields``, and named here again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SkipValidation, ValidationInfo

from admin_api.session_settings.fields import (
    NEVER,
    SECONDS,
    YEAR,
    AnyAddress,
    AnyNetwork,
    Count,
    Seconds,
    Section,
    Switch,
    as_toml,
    empty_as_none,
    field,
    parsed,
)
from admin_api.session_settings.overrides import MAX_PROFILE, check_profile
from vpn_frontend.http_headers import Header, parse_header
from vpn_frontend.settings import Endpoint, parse_endpoint

__all__ = [
    "NEVER",
    "SECONDS",
    "YEAR",
    "AnyAddress",
    "AnyNetwork",
    "Count",
    "FilePath",
    "HeaderLines",
    "ListenAddress",
    "ListenAddresses",
    "OptionalPath",
    "ProfileFile",
    "Seconds",
    "Section",
    "Switch",
    "empty_as_none",
    "field",
    "one_or_list",
    "parsed",
    "section",
]


def _resolve(path: Path, info: ValidationInfo) -> Path:
    return info.context["base"] / path if info.context and path != Path() else path


def _read_endpoints(value: object) -> object:
    """Returns a list for one ``"ADDRESS:PORT"``; empty text is an empty list."""
    if isinstance(value, str):
        return [value] if value else []
    return value


def one_or_list(endpoints: tuple[Endpoint, ...]) -> object:
    """Text for one endpoint or none, as ``_read_endpoints`` reads it."""
    return as_toml(endpoints) if len(endpoints) > 1 else ", ".join(str(endpoint) for endpoint in endpoints)


def _read_profile(value: object, info: ValidationInfo) -> str:
    """Returns the text of the file. Raises ``ValueError``."""
    if not isinstance(value, str):
        raise ValueError("should be text in quotes")  # noqa: TRY004 - pydantic reports ValueError only
    if not value:
        return ""
    path = info.context["base"] / value if info.context else Path(value)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_PROFILE + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if len(text) > MAX_PROFILE:
        raise ValueError(f"{path} has more than {MAX_PROFILE} characters")
    return check_profile(text)


def section() -> Any:  # noqa: ANN401 - Field's own shape
    """An optional table: a missing one is validated from an empty one, so that its default paths are resolved."""
    return Field(default_factory=dict)


FilePath = Annotated[Path, AfterValidator(_resolve)]
OptionalPath = Annotated[FilePath | None, BeforeValidator(empty_as_none)]
ProfileFile = Annotated[str, BeforeValidator(_read_profile)]
HeaderLine = Annotated[SkipValidation[Header], parsed(parse_header)]
HeaderLines = tuple[HeaderLine, ...]
ListenAddress = Annotated[SkipValidation[Endpoint], parsed(parse_endpoint)]
ListenAddresses = Annotated[tuple[ListenAddress, ...], BeforeValidator(_read_endpoints)]
