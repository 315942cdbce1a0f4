# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file: one strict TOML document.

These models are its only description: the loader, ``docs/configuration.md`` (rendered by ``reference``) and error
messages derive from them. Relative paths are relative to the file's folder.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from admin_api.session_settings.overrides import GroupName
from admin_api.session_settings.sections import (
    VPN,
    BandwidthSection,
    LimitsSection,
    NetworkSection,
    QuotaSection,
    SessionSection,
)
from ocsentry.configuration.fields import (
    SECONDS,
    AnyNetwork,
    Count,
    FilePath,
    HeaderLines,
    ListenAddresses,
    OptionalPath,
    ProfileFile,
    Seconds,
    Section,
    Switch,
)
from ocsentry.configuration.fields import field as _field
from ocsentry.configuration.fields import one_or_list as _one_or_list
from ocsentry.configuration.fields import section as _section
from ocsentry.configuration.groups import MAX_FILE_GROUPS, GroupSection
from ocsentry.configuration.sections.admin import AdminSection
from ocsentry.configuration.sections.auth import AuthSection
from ocsentry.configuration.sections.camouflage import CamouflageSection
from ocsentry.configuration.sections.fleet import FLEET_DPD, FleetSection
from ocsentry.configuration.sections.hooks import HooksSection
from ocsentry.configuration.sections.host import (
    FOLDERS,
    CertificatePairSection,
    HostSection,
    check_hosts,
    host_settings,
)
from ocsentry.configuration.sections.kdc_proxy import MAX_KDC_PROXIES, KdcProxySection
from ocsentry.configuration.sections.policy import PolicySection
from ocsentry.configuration.sections.radius import AccountingSection
from ocsentry.configuration.sections.store import StoreSection
from ocsentry.errors import OperatorError
from ocsentry.observability.syslog_output import Facility, SyslogFormat
from sentry_engine.records import dataclass
from vpn_frontend.http_headers import MAX_HEADERS
from vpn_frontend.settings import (
    MAX_CERTIFICATES,
    MAX_HOSTS,
    MAX_WORKERS,
    BandwidthSettings,
    CamouflageSettings,
    CipherName,
    DtlsMode,
    LimitSettings,
    LoginRules,
    NetworkSettings,
    OffloadName,
    QuotaSettings,
    SessionSettings,
    SettingsPlaces,
    VpnSettings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONFIG_VARIABLE = "OCSENTRY_CONFIG"
DEFAULT_LOCATIONS = (Path("ocsentry.toml"), Path("/etc/ocsentry/ocsentry.toml"))
MAX_CONFIG_BYTES = 1 << 20  # far more than all keys need; stops at a device or log named by mistake


class ConfigError(OperatorError):
    """The configuration file is invalid. ``problems`` are lines ``file: key: reason``."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class VpnSection(Section):
    listen: ListenAddresses = _field(
        _one_or_list(VPN.listen),
        "`ADDRESS:PORT`, or a list of them. IPv6 addresses need brackets; `*:443`: all addresses of both families.",
        max_length=16,
        min_length=1,
    )
    listen_netns: str = _field(
        VPN.listen_netns,
        "Network namespace of the sockets, by its name in `/run/netns`; the TUN device stays in the server's own. The "
        "server has to start as root. Empty: the server's own.",
        pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*)?$",
        max_length=64,
    )
    dtls: Switch = _field(VPN.dtls, "Offer DTLS over UDP beside TLS.")
    dtls_modes: tuple[DtlsMode, ...] = _field(
        VPN.dtls_modes,
        "How DTLS may be keyed: DTLS 1.3 with the server's certificate (`certificate`), by a key of the TLS connection "
        "(`psk`, openconnect), or by a secret of the client (`resumption`, AnyConnect and old clients).",
        min_length=1,
        max_length=3,
    )
    dtls_listen: ListenAddresses = _field(
        _one_or_list(VPN.dtls_listen), "UDP addresses. Empty: the same as `listen`.", max_length=16
    )
    proxy_from: tuple[AnyNetwork, ...] = _field(
        VPN.proxy_from,
        "Networks of proxies, such as haproxy with `send-proxy-v2`. Their connections must begin with a PROXY header "
        "(version 1 or 2); rules, limits and blocks concern the client that it names. Other addresses connect without.",
        max_length=256,
    )
    certificate: FilePath = _field(VPN.certificate, "Certificate chain in PEM, the server's certificate first.")
    private_key: FilePath = _field(VPN.private_key, "Private key of the certificate, in PEM.")
    private_key_password_file: OptionalPath = _field(
        VPN.private_key_password_file or "",
        "File whose first line is the password of `private_key`, which may be one PKCS #12 file with `certificate`. "
        "Empty: no password.",
    )
    ocsp_response: OptionalPath = _field(
        VPN.ocsp_response or "",
        "OCSP response of the certificate in DER, stapled to handshakes; read again every minute. Empty: none. One "
        "that clients would refuse is not sent.",
    )
    certificates: tuple[CertificatePairSection, ...] = _field(
        VPN.certificates,
        "More pairs, each `{certificate, private_key}` and `ocsp_response`, such as RSA beside ECDSA: the first of all "
        "that the client can verify is used.",
        max_length=MAX_CERTIFICATES,
    )
    ciphers: tuple[CipherName, ...] = _field(
        VPN.ciphers,
        "Cipher suites of TLS, by preference. `DHE-` suites work with an RSA certificate, 20 handshakes a second.",
        min_length=1,
        max_length=16,
    )
    worker_threads: Count = _field(
        VPN.worker_threads, "Threads that carry packets.", unit="threads; 0: one per core", ge=0, le=MAX_WORKERS
    )
    offloads: tuple[OffloadName, ...] = _field(
        VPN.offloads,
        "Batching of packets, where the kernel supports it. Remove one if it causes problems. From the TUN device: "
        "large TCP (`tso`) and UDP (`uso`) packets. Towards it: merged packets (`coalesce`), and only the last of "
        "several TCP acknowledgements (`acks`). DTLS: batches of datagrams out (`udp_gso`) and in (`udp_gro`).",
        max_length=6,
    )
    output_buffer: Count = _field(
        VPN.output_buffer,
        "Output of a TLS connection that may wait in the kernel unsent. Less of it costs less memory with clients that "
        "read slowly, and shortens the wait of small packets behind large transfers.",
        unit="bytes; 0: as much as the kernel takes",
        ge=0,
        le=16_777_216,
    )
    ip_phones: Switch = _field(
        VPN.ip_phones, "Logins of Cisco's IP phones at `/svc`, by certificate or by an urlencoded form."
    )
    http_headers: HeaderLines = _field(
        VPN.http_headers,
        "Headers of all answers before the tunnel, each `Name: value`. Those of the server go before them.",
        max_length=MAX_HEADERS,
    )
    extra_headers: HeaderLines = _field(
        VPN.extra_headers,
        "Headers of the answer that opens a tunnel, each `Name: value`. `%{U}` and `%{G}` are the names of user and "
        "group, percent-encoded. Those of the server go before them.",
        max_length=MAX_HEADERS,
    )
    client_page: Switch = _field(
        VPN.client_page,
        "A browser at the VPN's address gets a page with the address and the clients for it.",
    )
    survive_restart: bool = _field(
        VPN.survive_restart,
        "Sessions outlive the server's process: after a restart or a crash clients come back by themselves, with the "
        "same addresses and without a login.",
    )
    drain: Seconds = _field(
        VPN.drain,
        "How long a stopping server leaves its sessions alone. It accepts no more, and ends when the last has left.",
        unit=SECONDS,
        ge=0,
        le=3600,
    )
    drain_at_least: Seconds = _field(
        VPN.drain_at_least,
        "How long it stays in any case, refusing connections, until the probes of a load balancer have noticed.",
        unit=SECONDS,
        ge=0,
        le=3600,
    )
    fips: Switch = _field(
        VPN.fips,
        "Start only with a FIPS 140 module of wolfSSL that passes its self-tests, and negotiate only AES-GCM suites "
        "with ECDHE by NIST curves, keys of approved sizes, and TLS 1.2 with the extended master secret alone. The "
        "release archive that the build takes has no module.",
    )
    profile: ProfileFile = _field(
        VPN.profile, "File with a client profile of AnyConnect (XML), which clients fetch after the login. Empty: none."
    )
    user_config_dir: OptionalPath = _field(
        VPN.user_config_dir or "",
        "Folder with a file of ocserv's keys for each user (`config-per-user`), read at each login. Empty: none.",
    )
    group_config_dir: OptionalPath = _field(
        VPN.group_config_dir or "", "The same for each group (`config-per-group`). Users override groups."
    )
    default_user_config: OptionalPath = _field(
        VPN.default_user_config or "", "File for users without a file in `user_config_dir`. Empty: none."
    )
    default_group_config: OptionalPath = _field(
        VPN.default_group_config or "", "File for groups without a file in `group_config_dir`. Empty: none."
    )
    iroutes_within: tuple[AnyNetwork, ...] = _field(
        VPN.iroutes_within,
        "Networks that clients may have behind them (`iroutes` of users and groups). The process with the right to set "
        "routes takes this list at the start.",
        max_length=64,
    )
    addresses_within: tuple[AnyNetwork, ...] = _field(
        VPN.addresses_within,
        "Networks in which the fixed address of a user (`ipv4` and `ipv6`, or pushed by RADIUS) may be if it is in no "
        "pool. It has a route of its own. The process with the right to set routes takes this list at the start.",
        max_length=64,
    )
    network: NetworkSection = _section()
    bandwidth: BandwidthSection = _section()
    quota: QuotaSection = _section()
    limits: LimitsSection = _section()
    session: SessionSection = _section()
    hooks: HooksSection = _section()
    host: tuple[HostSection, ...] = Field((), description="Virtual hosts.", max_length=MAX_HOSTS)
    kdc_proxy: tuple[KdcProxySection, ...] = Field(
        (), description="Kerberos KDCs that clients reach without a tunnel (MS-KKDCP).", max_length=MAX_KDC_PROXIES
    )
    camouflage: CamouflageSection = _section()


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = _field("info", "Severity from which events are logged.")
    format: Literal["auto", "console", "json", "ocserv"] = _field(
        "auto",
        "Format of the log on standard output, one line per event. `auto`: text on a terminal, otherwise JSON. "
        "`ocserv`: ocserv's lines, for dashboards and fail2ban filters that read them.",
    )
    syslog: Literal[""] | Facility = _field("", "Facility of syslog that gets the log as well. Empty: none.")
    syslog_format: SyslogFormat = _field("json", "Format of these lines; with `ocserv` their program is ocserv, too.")


class ProcessSection(Section):
    user: str = _field(
        "",
        "User that a server started by root becomes once everything is open. Empty: it stays what it was started as.",
        max_length=32,
    )
    seccomp: Literal["errno", "kill", "off"] = _field(
        "errno",
        "System calls outside the server's list fail (`errno`) or end the process (`kill`). `off`: all are allowed.",
    )
    landlock: Switch = _field(
        True, "Only the files of the configuration can be read after the start, and only the server's own written."
    )
    key_isolation: Literal["on", "off"] = _field(
        "off",
        "A process of its own has the private keys of the VPN's certificates and signs for the server. `off`: the "
        "server has them.",
    )


def _refuse_overlap(network: NetworkSection, layers: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ``ValueError`` if two pools overlap: an address belongs to one pool and one session.

    ``layers`` are the overrides of ``network`` by the table that has them.
    """
    taken = [("vpn.network", pool) for pool in (network.ipv4_pool, network.ipv6_pool) if pool is not None]
    for layer, overrides in layers.items():
        for key in ("ipv4_pool", "ipv6_pool"):
            pool = overrides.get(key)
            if pool is None:
                continue
            for where, other in taken:
                if pool != other and pool.version == other.version and pool.overlaps(other):
                    raise ValueError(f"{layer}.network.{key}: {pool} overlaps with {other} of {where}")
            taken.append((layer, pool))


class Config(Section):
    """The whole file. Validation needs the context ``base``, the file's folder."""

    vpn: VpnSection = _section()
    groups: dict[GroupName, GroupSection] = Field(
        {}, description="Groups of users, by name.", max_length=MAX_FILE_GROUPS
    )
    auth: AuthSection = _section()
    accounting: AccountingSection = _section()
    policy: PolicySection = _section()
    admin: AdminSection = _section()
    store: StoreSection = _section()
    fleet: FleetSection = _section()
    log: LogSection = _section()
    process: ProcessSection = _section()

    @model_validator(mode="after")
    def _accounting_has_its_servers(self) -> Self:
        if self.accounting.radius and not self.auth.radius.servers:
            raise ValueError("accounting.radius needs auth.radius.servers")
        return self

    @model_validator(mode="after")
    def _packets_are_filtered_where_they_arrive(self) -> Self:
        if self.vpn.listen_netns and self.policy.kernel != "off":
            raise ValueError('policy.kernel works in the namespace of the server only: set "off" with vpn.listen_netns')
        return self

    @model_validator(mode="after")
    def _groups_can_log_in(self) -> Self:
        for name, group in self.groups.items():
            if group.auth.is_set and (problem := group.auth.find_problem(self.auth)) is not None:
                raise ValueError(f"groups.{name}.auth: {problem}")
        return self

    @model_validator(mode="after")
    def _pools_are_apart(self) -> Self:
        layers = {f"groups.{name}": group.network for name, group in self.groups.items()}
        layers |= {f"vpn.host.{host.name}": host.network for host in self.vpn.host}
        _refuse_overlap(self.vpn.network, layers)
        return self

    @model_validator(mode="after")
    def _nodes_share_a_database(self) -> Self:
        if self.fleet.name and not self.store.url.get_secret_value().startswith("postgresql"):
            raise ValueError("fleet.name: nodes share a PostgreSQL database: set store.url, or remove [fleet]")
        if self.fleet.name and "dpd" not in self.vpn.session.model_fields_set:
            object.__setattr__(self.vpn.session, "dpd", FLEET_DPD)  # a default: the file has not set it
        return self

    @model_validator(mode="after")
    def _hosts_can_be_used(self) -> Self:
        check_hosts(self.vpn.host, self.auth)
        return self


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and its file. ``source`` reads a file of another format again; ``None``: it is TOML.

    ``reads`` are other files that it reads then. ``origins`` says where a file of another format has a key.
    """

    path: Path
    values: Config
    source: Callable[[Path], LoadedConfig] | None = None
    reads: tuple[Path, ...] = ()
    origins: Mapping[str, str] | None = None

    def describe(self, key: str) -> str:
        """The key, and where the operator has written it if that has another name."""
        places = [where for name, where in (self.origins or {}).items() if name == key or name.startswith(f"{key}.")]
        return f"{key} ({places[0]})" if places else key

    def read_again(self) -> LoadedConfig:
        """The configuration as the file has it now. Raises ``ConfigError``."""
        return load_config(self.path) if self.source is None else self.source(self.path)

    @property
    def store_url(self) -> str:
        """The store's URL with a relative SQLite file made absolute."""
        url = self.values.store.url.get_secret_value()
        scheme, separator, name = url.partition("sqlite:///")
        if scheme or not separator or name.startswith(("/", ":memory:")):
            return url
        return f"sqlite:///{self.path.parent / name}"

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite store; ``None``: the store is no file."""
        scheme, separator, name = self.store_url.partition("sqlite:///")
        return Path(name) if separator and not scheme and not name.startswith(":memory:") else None

    @property
    def vpn(self) -> VpnSettings:
        """The settings of ``vpn_frontend``."""
        vpn, auth = self.values.vpn, self.values.auth
        folders = SettingsPlaces(**{name: getattr(vpn, name) for name in FOLDERS})
        return VpnSettings(
            **_values(vpn, "host", "certificates", "kdc_proxy"),
            certificates=tuple(pair.settings() for pair in vpn.certificates),
            kdc_proxy=tuple(one.settings() for one in vpn.kdc_proxy),
            hosts=host_settings(vpn.host, auth, self._group_rules(), folders),
            network=NetworkSettings(**_values(vpn.network)),
            bandwidth=BandwidthSettings(**_values(vpn.bandwidth)),
            quota=QuotaSettings(**_values(vpn.quota)),
            limits=LimitSettings(**_values(vpn.limits)),
            session=SessionSettings(**_values(vpn.session)),
            camouflage=CamouflageSettings(**_values(vpn.camouflage)),
            auth=auth.settings(self._group_rules()),
            groups={name: group.overrides() for name, group in self.values.groups.items()},
        )

    def auth_of(self, host: str) -> AuthSection:
        """The ways to log in at a virtual host; without a name those of the server itself."""
        auth = self.values.auth
        return next((one.auth.over(auth) for one in self.values.vpn.host if host and one.name == host), auth)

    def _group_rules(self) -> dict[str, LoginRules]:
        auth, groups = self.values.auth, self.values.groups
        return {name: group.auth.rules(auth) for name, group in groups.items() if group.auth.is_set}


def _values(section: Section, *without: str) -> dict[str, Any]:
    """The keys of a table, without the tables in it."""
    return {name: value for name, value in section if name not in without and not isinstance(value, Section)}


def find_config(explicit: Path | None = None) -> Path:
    """Returns ``explicit``, else ``$OCSENTRY_CONFIG``, else the first default location that exists.

    Raises ``ConfigError``.
    """
    if explicit is not None:
        return explicit
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    for place in DEFAULT_LOCATIONS:
        if place.exists():
            return place
    places = " or ".join(str(place) for place in DEFAULT_LOCATIONS)
    raise ConfigError(f"no configuration at {places}: name one with --config, or create one with 'ocsentry init'")


def socket_of(path: Path) -> Path | None:
    """Returns ``admin.socket`` of a file whatever else is wrong with it; ``None`` if that cannot be read."""
    try:
        document = tomllib.loads(path.read_text())
        name = document.get("admin", {}).get("socket", AdminSection.model_fields["socket"].default)
        return Path(path.absolute().parent, name)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def load_config(path: Path) -> LoadedConfig:
    """Read and validate the TOML file ``path``. Raises ``ConfigError`` with all problems of the file."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes: not a configuration file")
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
            continue  # the list is too short because members were refused
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            reason = "unknown key"
        elif problem["type"] == "tuple_type":
            reason = "should be a list"
        if (line := f"{path}: {key or '(whole file)'}: {reason[:1].lower()}{reason[1:]}") not in seen:
            seen.add(line)
            yield line
