# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration as wolfSentry documents it (doc/json_configuration.md), strict: what it does not know is an error.

Both spellings of the lists are read: ``events`` and ``routes`` as documented, ``events-insert`` and
``static-routes-insert`` as in its examples. Actions are callbacks of the application; their labels are kept and nothing
is called. Read more generously than wolfSentry does: an address without a family, a port without a protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from socket import getprotobyname, getservbyname
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sentry_engine.formats.rule_file import describe
from sentry_engine.problems import PolicyError

CONFIG_KEY = "wolfsentry-config-version"
MAX_ROUTES = 1_000_000
MAX_EVENTS = 10_000
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

U8 = Annotated[int, Field(ge=0, le=0xFF)]
U16 = Annotated[int, Field(ge=0, le=0xFFFF)]
U32 = Annotated[int, Field(ge=0, le=0xFFFF_FFFF)]
Label = Annotated[str, Field(min_length=1, max_length=32)]  # WOLFSENTRY_MAX_LABEL_BYTES
Labels = Annotated[list[Label], Field(max_length=256)]


def parse_duration(value: object) -> object:
    """Seconds: a number, or text with a unit (``10m``)."""
    if not isinstance(value, str):
        return value
    digits, unit = (value[:-1], value[-1]) if value[-1:] in UNITS else (value, "s")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 12):
        raise ValueError("a duration is a number of seconds, or text such as 90s, 10m, 1h, 2d")
    return int(digits) * UNITS[unit]


def parse_protocol(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return getprotobyname(value)
    except OSError:
        raise ValueError(f"{value!r} is no protocol known here") from None


def parse_port(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return getservbyname(value)
    except OSError:
        raise ValueError(f"{value!r} is no service known here") from None


Duration = Annotated[int, BeforeValidator(parse_duration), Field(ge=0, le=0xFFFF_FFFF)]
Protocol = Annotated[U16, BeforeValidator(parse_protocol)]
Port = Annotated[U16, BeforeValidator(parse_port)]


def dashed(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=dashed)


class EventConfig(Strict):
    max_connection_count: U32 = 0
    penalty_box_duration: Duration = 0
    route_idle_time_for_purge: Duration = 0
    derog_thresh_for_penalty_boxing: U16 = 0
    derog_thresh_ignore_commendable: bool = False
    commendable_clears_derogatory: bool = False
    route_flags_to_add_on_insert: Labels = []  # pydantic copies it
    route_flags_to_clear_on_insert: Labels = []
    action_res_filter_bits_set: Labels = []
    action_res_filter_bits_unset: Labels = []
    action_res_bits_to_add: Labels = []
    action_res_bits_to_clear: Labels = []


class GlobalConfig(EventConfig):
    max_purgeable_routes: U32 = 0
    max_purgeable_idle_time: Duration = 0


class EventSection(Strict):
    label: Label
    priority: U16 = 0
    config: EventConfig | None = None
    aux_parent_event: Label | None = None
    actions: Labels | None = None
    post_actions: Labels | None = None
    insert_actions: Labels | None = None
    match_actions: Labels | None = None
    update_actions: Labels | None = None
    delete_actions: Labels | None = None
    decision_actions: Labels | None = None


class EndpointSection(Strict):
    interface: U8 | None = None
    address: Annotated[str, Field(max_length=64)] | None = None
    prefix_bits: Annotated[int, Field(ge=0, le=128)] | None = None
    bitmask: Annotated[str, Field(max_length=64)] | None = None
    port: Port | None = None

    @model_validator(mode="after")
    def _one_mask(self) -> Self:
        if self.prefix_bits is not None and self.bitmask is not None:
            raise ValueError("give prefix-bits or bitmask, not both")
        if self.address is None and (self.prefix_bits is not None or self.bitmask is not None):
            raise ValueError("prefix-bits and bitmask need an address")
        return self


class RouteSection(Strict):
    parent_event: Label | None = None
    af_wild: bool | None = None
    raddr_wild: bool | None = None
    rport_wild: bool | None = None
    laddr_wild: bool | None = None
    lport_wild: bool | None = None
    riface_wild: bool | None = None
    liface_wild: bool | None = None
    tcplike_port_numbers: bool = False
    direction_in: bool = False
    direction_out: bool = False
    penalty_boxed: bool = False
    green_listed: bool = False
    dont_count_hits: bool = False
    dont_count_current_connections: bool = False
    port_reset: bool = False
    family: Literal["inet", "inet6", 2, 10] | None = None
    protocol: Protocol | None = None
    remote: EndpointSection = EndpointSection()
    local: EndpointSection = EndpointSection()


class DefaultPolicies(Strict):
    default_policy: Literal["accept", "reject", "reset"] | None = None
    default_event: Label | None = None


class Configuration(Strict):
    wolfsentry_config_version: Literal[1]
    config_update: GlobalConfig = GlobalConfig()
    events: Annotated[
        list[EventSection],
        Field(max_length=MAX_EVENTS, validation_alias=AliasChoices("events", "events-insert"), default_factory=list),
    ]
    default_policies: DefaultPolicies = DefaultPolicies()
    routes: Annotated[
        list[RouteSection],
        Field(
            max_length=MAX_ROUTES, validation_alias=AliasChoices("routes", "static-routes-insert"), default_factory=list
        ),
    ]
    user_values: dict[str, Any] = {}


def read_config(document: Mapping[str, Any], *, file: str) -> Configuration:
    """Raises ``PolicyError``."""
    try:
        return Configuration.model_validate(document)
    except ValidationError as error:
        raise PolicyError(describe(error, document, file)) from None
