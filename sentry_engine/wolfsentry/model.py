# SPDX-License-Identifier: GPL-3.0-or-later
"""Strict models of the configuration as wolfSentry documents it (doc/json_configuration.md).

Both names of the lists are read: ``events`` and ``routes`` as documented, ``events-insert`` and
``static-routes-insert`` as in wolfSentry's examples. The action ``%track-peer-v1`` is built in. Other actions are
callbacks of an application: their labels are kept, and nothing is called. Unlike wolfSentry, this reads an address
without a family, a port without a protocol, and keys in any order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from sentry_engine.errors import PolicyError
from sentry_engine.formats.rule_file import describe_errors
from sentry_engine.wolfsentry.flags import FLAGS, RESULTS
from sentry_engine.wolfsentry.numbers import port_number, protocol_number

MAX_ROUTES = 1_000_000
MAX_EVENTS = 10_000
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

U8 = Annotated[int, Field(ge=0, le=0xFF)]
U16 = Annotated[int, Field(ge=0, le=0xFFFF)]
U32 = Annotated[int, Field(ge=0, le=0xFFFF_FFFF)]
Label = Annotated[str, Field(min_length=1, max_length=32)]  # WOLFSENTRY_MAX_LABEL_BYTES
Labels = Annotated[list[Label], Field(max_length=256)]
FlagWord = Annotated[Label, AfterValidator(lambda word: choose(word, FLAGS, "flag of routes"))]
ResultWord = Annotated[Label, AfterValidator(lambda word: choose(word, ("none", *RESULTS), "result"))]
FlagWords = Annotated[list[FlagWord], Field(max_length=256)]
ResultWords = Annotated[list[ResultWord], Field(max_length=256)]


def parse_duration(value: object) -> object:
    """Seconds from a number, or from text with a unit (``10m``)."""
    if not isinstance(value, str):
        return value
    digits, unit = (value[:-1], value[-1]) if value[-1:] in UNITS else (value, "s")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 12):
        raise ValueError("a duration is a number of seconds, or text such as 90s, 10m, 1h, 2d")
    return int(digits) * UNITS[unit]


def parse_protocol(value: object) -> object:
    return protocol_number(value) if isinstance(value, str) else value


def parse_port(value: object) -> object:
    return port_number(value) if isinstance(value, str) else value


Duration = Annotated[int, BeforeValidator(parse_duration), Field(ge=0, le=0xFFFF_FFFF)]
Protocol = Annotated[U16, BeforeValidator(parse_protocol)]
Port = Annotated[U16, BeforeValidator(parse_port)]


CONTRARIES = (
    ("route_flags_to_add_on_insert", "route_flags_to_clear_on_insert"),
    ("action_res_filter_bits_set", "action_res_filter_bits_unset"),
    ("action_res_bits_to_add", "action_res_bits_to_clear"),
)


ACTING = (
    "actions",
    "post_actions",
    "match_actions",
    "update_actions",
    "decision_actions",
)  # lists of actions that run on traffic


def choose(word: str, known: Collection[str], what: str) -> str:
    if word not in known:
        raise ValueError(f"{word!r} is no {what}; there are {', '.join(known)}")
    return word


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
    route_flags_to_add_on_insert: FlagWords = []  # pydantic copies it
    route_flags_to_clear_on_insert: FlagWords = []
    action_res_filter_bits_set: ResultWords = []
    action_res_filter_bits_unset: ResultWords = []
    action_res_bits_to_add: ResultWords = []
    action_res_bits_to_clear: ResultWords = []

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        for one, other in CONTRARIES:
            if both := set(getattr(self, one)) & set(getattr(self, other)) - {"none"}:
                raise ValueError(f"{', '.join(sorted(both))} in both {dashed(one)} and {dashed(other)}")
        if "af-wild" in self.route_flags_to_add_on_insert:
            raise ValueError("af-wild cannot be added: a route for all families can have no protocol")
        return self

    def over(self, general: EventConfig) -> EventConfig:
        """This configuration of an event on top of ``general``: unset values come from there, lists are appended."""
        said = {name: getattr(self, name) for name in self.model_fields_set}
        joined = {name: [*getattr(general, name), *words] for name, words in said.items() if isinstance(words, list)}
        common = {name: getattr(general, name) for name in EventConfig.model_fields}
        return EventConfig.model_construct(**(common | said | joined))


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

    @model_validator(mode="after")
    def _says_what_it_matches(self) -> Self:
        if not (self.direction_in or self.direction_out):
            raise ValueError("a route needs direction-in or direction-out")
        fields = (
            ("af-wild", self.af_wild, self.family is not None or self.remote.address or self.local.address),
            ("raddr-wild", self.raddr_wild, self.remote.address is not None),
            ("rport-wild", self.rport_wild, self.remote.port is not None),
            ("riface-wild", self.riface_wild, self.remote.interface is not None),
            ("laddr-wild", self.laddr_wild, self.local.address is not None),
            ("lport-wild", self.lport_wild, self.local.port is not None),
            ("liface-wild", self.liface_wild, self.local.interface is not None),
        )
        for name, wild, stated in fields:
            if wild is not None and wild is bool(stated):
                raise ValueError(f"{name} is {str(wild).lower()} and the field {'' if stated else 'not '}stated")
        return self


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
        raise PolicyError(describe_errors(error, document, file)) from None
