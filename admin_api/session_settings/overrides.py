# SPDX-License-Identifier: GPL-3.0-or-later
"""What a group or a user sets over the server's settings, as TOML tables and JSON objects have it.

The keys and their bounds are those of the tables of ``[vpn]`` (``sections``). A key that is absent is not overridden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast
from xml.parsers import expat

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    with_config,
)
from typing_extensions import TypedDict

from admin_api.http.values import refuse_numbers
from admin_api.session_settings.fields import Section, ShownText, as_toml
from admin_api.session_settings.sections import (
    BandwidthSection,
    LimitsSection,
    NetworkSection,
    QuotaSection,
    SessionSection,
)
from sentry_engine.formats.rule_file import make_windows
from sentry_engine.formats.rule_model import MAX_WINDOWS, WindowSection
from vpn_frontend.sessions.effective_settings import SECTIONS, SERVER_ONLY
from vpn_frontend.settings import MethodName, Overrides

if TYPE_CHECKING:
    from collections.abc import Mapping

STRICT = ConfigDict(extra="forbid", defer_build=True)
MODELS: dict[str, type[Section]] = {
    "network": NetworkSection,
    "bandwidth": BandwidthSection,
    "quota": QuotaSection,
    "session": SessionSection,
    "limits": LimitsSection,
}
GroupName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x20\x7f-\x9f/?#%]([^\x00-\x1f\x7f-\x9f/?#%]*)$"),
    Field(description="No `/`, `?`, `#` or `%`: clients name it in the URL.", examples=["staff"]),
]
GroupLabel = Annotated[
    str, StringConstraints(max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"), Field(examples=["Staff and guests"])
]


def _keys_of(section: str) -> Any:  # noqa: ANN401 - a TypedDict made at run time
    """Returns a TypedDict of the keys of a table that may differ between sessions, none of them needed."""
    keys: dict[str, Any] = {}
    for key, field in MODELS[section].model_fields.items():
        if f"{section}.{key}" not in SERVER_ONLY:
            described = Field(description=field.description)
            keys[key] = Annotated[field.annotation, *field.metadata, described]
    made: Any = TypedDict(f"{section.title()}Overrides", keys, total=False)  # type: ignore[misc]
    made.__doc__ = f"Keys of ``[vpn.{section}]``."
    return with_config(STRICT)(made)


if TYPE_CHECKING:
    NetworkOverrides = dict[str, Any]
    BandwidthOverrides = dict[str, Any]
    QuotaOverrides = dict[str, Any]
    SessionOverrides = dict[str, Any]
    LimitsOverrides = dict[str, Any]
else:
    NetworkOverrides = _keys_of("network")
    BandwidthOverrides = _keys_of("bandwidth")
    QuotaOverrides = _keys_of("quota")
    SessionOverrides = _keys_of("session")
    LimitsOverrides = _keys_of("limits")

Windows = Annotated[
    list[WindowSection],
    Field(max_length=MAX_WINDOWS, description="When logins are allowed, and sessions live. Empty: always."),
]
End = Annotated[
    AwareDatetime,
    BeforeValidator(refuse_numbers),
    PlainSerializer(as_toml),
    Field(description="Logins are refused from then on, and sessions ended.", examples=["2030-01-31T00:00:00Z"]),
]
MAX_PROFILE = 64 * 1024  # characters


def check_profile(text: str) -> str:
    """Returns ``text``. Raises ``ValueError`` unless it is an XML document without a document type."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(text.encode(), True)
    except (expat.ExpatError, UnicodeEncodeError) as error:
        raise ValueError(f"not an XML document: {error}") from None
    return text


def _refuse_doctype(*_: object) -> None:
    raise ValueError("a client profile has no document type")


Profile = Annotated[
    str,
    StringConstraints(max_length=MAX_PROFILE, strip_whitespace=False),
    AfterValidator(check_profile),
    Field(description="Client profile of AnyConnect, an XML document.", examples=["<AnyConnectProfile/>"]),
]
Hostname = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)?$"),
    Field(description="Host name that the client is given. Empty: the one that it sends.", examples=["laptop-7"]),
]
Banner = Annotated[ShownText, Field(description="Text shown after the login.")]


@with_config(STRICT)
class UserSettings(TypedDict, total=False):
    """What one user sets, beside the attributes ``max_same_clients``, ``ipv4``, ``ipv6`` and ``expires_at``."""

    network: NetworkOverrides
    bandwidth: BandwidthOverrides
    quota: QuotaOverrides
    session: SessionOverrides
    banner: Banner
    profile: Profile
    hostname: Hostname
    schedule: Windows


Methods = Annotated[tuple[MethodName, ...], Field(max_length=8)]


@with_config(STRICT)
class GroupAuth(TypedDict, total=False):
    """Rules of logins by a group. What is left out is that of the configuration."""

    methods: Annotated[Methods, Field(description="Methods to log in with instead of `auth.methods`: alternatives.")]
    require: Annotated[Methods, Field(description="Methods that are needed as well, instead of `auth.require`.")]


@with_config(STRICT)
class GroupSettings(TypedDict, total=False):
    """What the members of a group get, and how they log in by it."""

    auth: GroupAuth
    network: NetworkOverrides
    bandwidth: BandwidthOverrides
    quota: QuotaOverrides
    session: SessionOverrides
    limits: LimitsOverrides
    banner: Banner
    profile: Profile
    schedule: Windows
    expires_at: End


_USER: TypeAdapter[UserSettings] = TypeAdapter(UserSettings)
_GROUP: TypeAdapter[GroupSettings] = TypeAdapter(GroupSettings)


def render_user_settings(settings: UserSettings) -> dict[str, Any]:
    """Returns the JSON document that ``read_user_settings`` reads."""
    return cast("dict[str, Any]", _USER.dump_python(settings, mode="json", by_alias=True))


def render_group_settings(settings: GroupSettings) -> dict[str, Any]:
    """Returns the JSON document that ``read_group_settings`` reads."""
    return cast("dict[str, Any]", _GROUP.dump_python(settings, mode="json", by_alias=True))


def read_user_settings(document: Mapping[str, Any]) -> Overrides:
    """Raises ``pydantic.ValidationError``."""
    return as_overrides(_USER.validate_python(document)) if document else {}


def read_group_settings(document: Mapping[str, Any], label: str = "") -> Overrides:
    """Raises ``pydantic.ValidationError``."""
    return as_overrides(_GROUP.validate_python(document), label)


def as_overrides(settings: UserSettings | GroupSettings, label: str = "") -> Overrides:
    """Returns the values as the VPN takes them."""
    found: dict[str, Any] = {key: value for key, value in settings.items() if value not in ({}, None)}
    if "schedule" in found:
        found["schedule"] = make_windows(found["schedule"])
    if label:
        found["label"] = label
    return cast("Overrides", found)


def gather_tables(values: object) -> object:
    """Returns a group's table with keys of ``SECTIONS`` that are written without their table moved into it.

    ``restrict_to_routes = true`` is ``network.restrict_to_routes = true``: no two tables have a key of the same name.
    """
    if not isinstance(values, dict):
        return values
    homes = {key: name for name in SECTIONS for key in MODELS[name].model_fields}
    found = {key: value for key, value in values.items() if key not in homes}
    for key, value in values.items():
        home = homes.get(key)
        if home is None:
            continue
        table = found.get(home, {})
        if not isinstance(table, dict):
            continue  # reported as such
        if key in table:
            raise ValueError(f"{key} is given twice, here and in {home}")
        found[home] = {**table, key: value}
    return found
