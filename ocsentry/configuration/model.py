# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file: one TOML document, strict, every key with its unit and its reason to exist.

The models are the only source: what they say is what is read, what ``docs/configuration.md`` shows (by
``config_reference``) and what an error names. Relative paths are relative to the file they stand in.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SkipValidation,
    Strict,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from ocsentry.errors import OperatorError
from vpn_frontend.settings import (
    AuthSettings,
    Endpoint,
    LimitSettings,
    MethodName,
    NetworkSettings,
    OffloadName,
    SessionSettings,
    VpnSettings,
    parse_endpoint,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONFIG_VARIABLE = "OCSENTRY_CONFIG"
DEFAULT_LOCATIONS = (Path("ocsentry.toml"), Path("/etc/ocsentry/ocsentry.toml"))
MAX_CONFIG_BYTES = 1 << 20  # far more than every key written out; a device or a log named by mistake ends here

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class ConfigError(OperatorError):
    """The file cannot be used. ``problems`` are lines ``file: key: reason``."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _resolve(path: Path, info: ValidationInfo) -> Path:
    return info.context["base"] / path if info.context and path != Path() else path


def _read_network(text: str) -> Network:
    """Take a prefix exactly: host bits are a mistake somewhere, and guessing which part was meant widens a list."""
    return ip_network(text)


def _read_endpoints(value: object) -> object:
    """One ``"ADDRESS:PORT"``, a list of them, or the empty text for none."""
    if isinstance(value, str):
        return [value] if value else []
    return value


def _empty_as_none(value: object) -> object:
    return None if value == "" else value


def _pool(family: type[IPv4Network | IPv6Network]) -> Callable[[str], Network]:
    def read(text: str) -> Network:
        network = ip_network(text)
        if not isinstance(network, family):
            raise ValueError(f"{text!r} is of the other address family")  # noqa: TRY004 - the text is wrong, not its type
        return network

    return read


def _parsed(read: Callable[[str], Any]) -> BeforeValidator:
    """A value written as text and only as text (the address types would also take numbers)."""

    def parse(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("should be text in quotes")  # noqa: TRY004 - pydantic reports ValueError only
        return read(value)

    return BeforeValidator(parse)


def _field(default: Any, description: str, *, unit: str = "", **rules: Any) -> Any:  # noqa: ANN401 - Field's own shape
    """One key: its default, its line in the reference, its unit and its bounds."""
    return Field(default=default, description=description, json_schema_extra={"unit": unit}, **rules)


def _section() -> Any:  # noqa: ANN401 - Field's own shape
    """A table that may be left out: validated from nothing, so that its paths too are resolved."""
    return Field(default_factory=dict)


Seconds = Annotated[int, Strict()]
Count = Annotated[int, Strict()]
Switch = Annotated[bool, Strict()]
FilePath = Annotated[Path, AfterValidator(_resolve)]
OptionalPath = Annotated[FilePath | None, BeforeValidator(_empty_as_none)]
AnyNetwork = Annotated[SkipValidation[Network], _parsed(_read_network)]
AnyAddress = Annotated[SkipValidation[Address], _parsed(ip_address)]
IPv4Pool = Annotated[SkipValidation[IPv4Network], _parsed(_pool(IPv4Network))]
IPv6Pool = Annotated[SkipValidation[IPv6Network], _parsed(_pool(IPv6Network))]
ListenAddress = Annotated[SkipValidation[Endpoint], _parsed(parse_endpoint)]
ListenAddresses = Annotated[tuple[ListenAddress, ...], BeforeValidator(_read_endpoints)]
DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$")]  # IFNAMSIZ: 15 characters and a NUL
SECONDS = "seconds"
NEVER = "seconds; 0: never"
YEAR = 365 * 86_400


class Section(BaseModel):
    """One table. Unknown keys are errors: a misspelt limit must not be a limit that is off."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class NetworkSection(Section):
    device: DeviceName = _field("ocs0", "Name of the TUN device. Made at start and removed at the end.")
    ipv4_pool: Annotated[IPv4Pool | None, BeforeValidator(_empty_as_none)] = _field(
        "192.168.99.0/24",
        "Inner IPv4 addresses of the clients. The first host address is the server's own. Empty: no IPv4 inside.",
    )
    ipv6_pool: Annotated[IPv6Pool | None, BeforeValidator(_empty_as_none)] = _field(
        "fd00:99::/64", "The same for IPv6. Empty: no IPv6 inside."
    )
    dns: tuple[AnyAddress, ...] = _field(["192.168.99.1"], "Name servers given to the clients.", max_length=8)
    routes: tuple[AnyNetwork, ...] = _field(
        [], "Networks that clients reach through the tunnel. Empty: everything (the default route).", max_length=256
    )
    no_routes: tuple[AnyNetwork, ...] = _field([], "Networks that clients keep outside the tunnel.", max_length=256)
    mtu: Count = _field(1400, "The largest inner packet.", unit="bytes", ge=576, le=9000)
    default_domain: str = _field("", "Search domain given to the clients.", max_length=253)
    split_dns: tuple[str, ...] = _field([], "Domains that clients resolve through the tunnel only.", max_length=64)


class LimitsSection(Section):
    max_clients: Count = _field(1024, "Sessions at a time, of all users.", unit="sessions", ge=1, le=65_536)
    max_same_clients: Count = _field(
        2,
        "Sessions at a time of one user; a user's own setting goes before it.",
        unit="sessions; 0: any",
        ge=0,
        le=65_536,
    )
    on_excess: Literal["deny_new", "kick_oldest", "replace_same_device"] = _field(
        "deny_new", "What happens to a login over the limit: it is refused, or it takes an older session's place."
    )


class SessionSection(Section):
    cookie_timeout: Seconds = _field(
        300, "How long a session waits for its client to come back.", unit=SECONDS, ge=1, le=YEAR
    )
    idle_timeout: Seconds = _field(0, "End a session that carried no data for this long.", unit=NEVER, ge=0, le=YEAR)
    session_timeout: Seconds = _field(
        0, "End a session this long after its login, whatever reconnects happened.", unit=NEVER, ge=0, le=YEAR
    )
    dpd: Seconds = _field(
        90,
        "Silence after which a client is asked whether it is there. Its channel ends after twice as much.",
        unit=NEVER,
        ge=0,
        le=86_400,
    )
    mobile_dpd: Seconds = _field(1800, "The same for phones, which sleep.", unit=NEVER, ge=0, le=86_400)
    keepalive: Seconds = _field(32_400, "Interval at which clients send a keepalive.", unit=NEVER, ge=0, le=YEAR)
    rekey_time: Seconds = _field(172_800, "Age at which the keys of a channel are replaced.", unit=NEVER, ge=0, le=YEAR)


class VpnSection(Section):
    listen: ListenAddresses = _field(
        "0.0.0.0:443",
        "`ADDRESS:PORT`, or a list of them. IPv6 addresses go in brackets; `*:443` is every address of both families.",
        max_length=16,
        min_length=1,
    )
    dtls: Switch = _field(True, "Offer DTLS over UDP beside TLS.")
    dtls_listen: ListenAddresses = _field("", "UDP addresses. Empty: the same as `listen`.", max_length=16)
    certificate: FilePath = _field("server.crt", "Certificate chain, PEM, the server's own first.")
    private_key: FilePath = _field("server.key", "Its private key, PEM.")
    worker_threads: Count = _field(0, "Threads that move packets.", unit="threads; 0: one per core", ge=0, le=256)
    offloads: tuple[OffloadName, ...] = _field(
        ["tso", "uso", "coalesce", "acks", "udp_gso", "udp_gro"],
        "Work that is saved by treating packets together, where the kernel can. Take one out should it go wrong: large "
        "TCP packets (`tso`) and UDP packets (`uso`) from the TUN device, packets merged on the way to it "
        "(`coalesce`), only the last of TCP acknowledgements that came together (`acks`), batches of DTLS datagrams "
        "out (`udp_gso`) and in (`udp_gro`).",
        max_length=6,
    )
    network: NetworkSection = _section()
    limits: LimitsSection = _section()
    session: SessionSection = _section()


class AuthSection(Section):
    methods: tuple[MethodName, ...] = _field(["password"], "Ways to log in.", min_length=1, max_length=1)
    attempts: Count = _field(3, "Wrong passwords before a login has to be begun anew.", unit="attempts", ge=1, le=10)
    timeout: Seconds = _field(240, "Time that a login may take.", unit=SECONDS, ge=5, le=3600)
    remember_passwords: Seconds = _field(
        300,
        "Time for which a password that was right is not hashed again, so that a storm of reconnects is cheap. "
        "A changed password is another at once.",
        unit=NEVER,
        ge=0,
        le=3600,
    )
    banner: str = _field("", "Text shown after login.", max_length=1024)
    groups: tuple[str, ...] = _field(
        [], "Groups to choose from in the login form. Empty: none is asked for.", max_length=64
    )


class PolicySection(Section):
    rules: tuple[FilePath, ...] = _field(
        ["rules"], "Rule files, or folders of them. Watched: a saved file is in force within a second.", max_length=64
    )
    feeds: FilePath = _field("feeds", "Folder that keeps the block lists which rule files name by URL.")
    geoip_country: OptionalPath = _field(
        "", "Database of countries (`.mmdb`), or of cities, which know the country too. Empty: none."
    )
    geoip_asn: OptionalPath = _field("", "Database of autonomous systems (`.mmdb`). Empty: none.")
    geoip_anonymous: OptionalPath = _field("", "Database of proxies, VPNs and Tor exits (`.mmdb`). Empty: none.")
    never_block: tuple[AnyNetwork, ...] = _field(
        ["127.0.0.0/8", "::1/128"], "Networks that nothing may refuse: put your own in.", max_length=1024
    )
    default: Literal["accept", "reject"] = _field(
        "accept", "What happens to a source that nothing says anything about."
    )


class AdminSection(Section):
    listen: Annotated[ListenAddress | None, BeforeValidator(_empty_as_none)] = _field(
        "127.0.0.1:8443",
        "Where the HTTP API listens. Without a certificate it is plain HTTP, and loopback only. Empty: nowhere.",
    )
    socket: FilePath = _field(
        "admin.sock", "Unix socket of the API, for the command line. Only its owner and root get in."
    )
    certificate: OptionalPath = _field("", "Certificate chain of the API, PEM. Set both or neither.")
    private_key: OptionalPath = _field("", "Its private key, PEM.")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.certificate is None) is not (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        if self.listen is not None and self.certificate is None and not self.listen.address.is_loopback:
            raise ValueError(
                f"plain HTTP on {self.listen} would show tokens to the network: set certificate and private_key"
            )
        return self


class StoreSection(Section):
    url: SecretStr = _field(
        "sqlite:///ocsentry.db",
        "Database of users, tokens, blocks and sessions: `sqlite:///FILE` or `postgresql+psycopg://…`.",
    )

    @model_validator(mode="after")
    def _scheme_is_known(self) -> Self:
        if not self.url.get_secret_value().startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("url: begin with sqlite:/// or postgresql+psycopg://")
        return self


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = _field("info", "The least severe events that are written.")
    format: Literal["auto", "console", "json"] = _field(
        "auto", "One line per event on standard output. `auto`: for people on a terminal, JSON elsewhere."
    )


class Config(Section):
    """The whole file. ``base`` is its folder."""

    vpn: VpnSection = _section()
    auth: AuthSection = _section()
    policy: PolicySection = _section()
    admin: AdminSection = _section()
    store: StoreSection = _section()
    log: LogSection = _section()


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and the file it came from."""

    path: Path
    values: Config

    @property
    def store_url(self) -> str:
        """The store's URL with a relative SQLite file made absolute."""
        url = self.values.store.url.get_secret_value()
        scheme, separator, name = url.partition("sqlite:///")
        if scheme or not separator or name.startswith(("/", ":memory:")):
            return url
        return f"sqlite:///{self.path.parent / name}"

    @property
    def vpn(self) -> VpnSettings:
        """What ``vpn_frontend`` is told."""
        vpn, auth = self.values.vpn, self.values.auth
        return VpnSettings(
            **_values(vpn, without=("network", "limits", "session")),
            network=NetworkSettings(**_values(vpn.network)),
            limits=LimitSettings(**_values(vpn.limits)),
            session=SessionSettings(**_values(vpn.session)),
            auth=AuthSettings(**_values(auth)),
        )


def _values(section: Section, without: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: value for name, value in section if name not in without}


def find_config(explicit: Path | None = None) -> Path:
    """The file to use: the one named, else ``$OCSENTRY_CONFIG``, else the first default location that exists."""
    if explicit is not None:
        return explicit
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    for place in DEFAULT_LOCATIONS:
        if place.exists():
            return place
    places = " or ".join(str(place) for place in DEFAULT_LOCATIONS)
    raise ConfigError(f"no configuration at {places}: name one with --config, or make one with 'ocsentry init'")


def load_config(path: Path) -> LoadedConfig:
    """Read and validate ``path``. Raises ``ConfigError`` with every problem of the file."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes: this is no configuration file")
    try:
        document = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    path = path.absolute()
    try:
        values = Config.model_validate(document, context={"base": path.parent})
    except ValidationError as error:
        raise ConfigError(*_problems(path, error)) from error
    return LoadedConfig(path, values)


def _problems(path: Path, error: ValidationError) -> Iterator[str]:
    seen: set[str] = set()
    for problem in error.errors(include_url=False, include_context=False):
        key = ".".join(part for part in problem["loc"] if isinstance(part, str))
        if problem["type"] == "too_short" and any(f": {key}: " in line for line in seen):
            continue  # the list lacks members because they were refused
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            reason = "unknown key"
        elif problem["type"] == "tuple_type":
            reason = "should be a list"
        if (line := f"{path}: {key or '(whole file)'}: {reason[:1].lower()}{reason[1:]}") not in seen:
            seen.add(line)
            yield line
