# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the VPN, and the only place of their defaults.

Fields mirror the keys of ``[vpn]`` and ``[auth]``. Durations are seconds, 0 means never. Sizes are bytes.
``validation.validate`` checks the values.
"""

from __future__ import annotations

import re
from dataclasses import field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypedDict, cast, get_args

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sentry_engine.rules.schedules import Window
    from vpn_frontend.http_headers import Header

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
DEFAULT_IPV4_POOL = IPv4Network("192.168.99.0/24")
DEFAULT_IPV6_POOL = IPv6Network("fd00:99::/64")
MAX_WORKERS = 64
MAX_HOSTS = 63  # beside the server itself
MAX_CERTIFICATES = 3  # of a host, beside the first
MAX_IROUTES = 4096  # networks behind clients, of all sessions
PRIVATE_NETWORKS: tuple[Network, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),
)  # RFC 1918, RFC 4193
# Forward secret AEAD suites of TLS, by wolfSSL's names. The first three are of TLS 1.3, the others of TLS 1.2.
CipherName = Literal[
    "TLS13-AES256-GCM-SHA384",
    "TLS13-AES128-GCM-SHA256",
    "TLS13-CHACHA20-POLY1305-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-CHACHA20-POLY1305",
]
DEFAULT_CIPHERS: tuple[CipherName, ...] = tuple(
    name for name in get_args(CipherName) if name.startswith("TLS13-") or not name.endswith("CHACHA20-POLY1305")
)
OffloadName = Literal["tso", "uso", "coalesce", "acks", "udp_gso", "udp_gro"]  # members of gateway.Offload
# One word for each row of ``ocsentry.login_methods.table``.
MethodName = Literal["password", "certificate", "gssapi", "ldap", "pam", "radius", "totp", "oidc", "bearer"]
Strap = Literal["off", "observe", "enforce"]
CrlCheck = Literal["strict", "listed"]  # who is refused by revocation lists
AtConnect = Literal["same", "optional"]  # what a tunnel needs of the certificate of its login
OnExcess = Literal["deny_new", "kick_oldest", "replace_same_device"]
RekeyMethod = Literal["ssl", "new-tunnel"]
DtlsMode = Literal["certificate", "psk", "resumption"]  # ways to key a client's DTLS, see protocol.dtls_negotiation
PortProtocol = Literal["tcp", "udp", "sctp", "icmp", "icmpv6", "esp"]
PORT_PROTOCOLS: tuple[PortProtocol, ...] = get_args(PortProtocol)
PROTOCOLS_WITH_PORTS: frozenset[PortProtocol] = frozenset({"tcp", "udp", "sctp"})
MAX_PORT = 65_535
_PORT_RULE = re.compile(rf"(!?)({'|'.join(PORT_PROTOCOLS)})(?:/([0-9]{{1,5}})(?:-([0-9]{{1,5}}))?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and port to listen on."""

    address: Address
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Read ``192.0.2.1:443``, ``[2001:db8::1]:443`` or ``*:443`` (every IPv4 and IPv6 address: ``[::]``).

    Raises ``ValueError`` with a text for the operator.
    """
    host, separator, port_text = text.strip().rpartition(":")
    if not separator:
        raise ValueError(f"{text!r} is not ADDRESS:PORT")
    if host == "*":
        host = "[::]"
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(f"{host!r} in {text!r} is not an address (write IPv6 in brackets)") from None
    if (address.version == 6) is not bracketed:
        raise ValueError(f"{text!r}: IPv6 addresses, and only those, go in brackets")
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and 1 <= int(port_text) <= 65535):
        raise ValueError(f"{port_text!r} in {text!r} is not a port from 1 to 65535")
    return Endpoint(address, int(port_text))


@dataclass(frozen=True, slots=True)
class PortRule:
    """One entry of ``restrict_to_ports``: a protocol, and of those with ports the first and last destination port."""

    protocol: PortProtocol
    first: int = 0
    last: int = MAX_PORT
    denied: bool = False  # written with "!": all but this

    def __str__(self) -> str:
        ports = "" if self.protocol not in PROTOCOLS_WITH_PORTS else f"/{self.first}-{self.last}"
        if self.first == self.last:
            ports = f"/{self.first}"
        elif (self.first, self.last) == (0, MAX_PORT):
            ports = ""
        return f"{'!' if self.denied else ''}{self.protocol}{ports}"


def parse_port_rule(text: str) -> PortRule:
    """Read ``tcp/443``, ``udp/8000-8100``, ``icmp``, ``tcp`` (every port), or ``!tcp/25``. Raises ``ValueError``."""
    match = _PORT_RULE.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text[:64]!r} is none of tcp/443, udp/8000-8100, icmp, !tcp/25 (known are {', '.join(PORT_PROTOCOLS)})"
        )
    denied, first_text, last_text = match.group(1, 3, 4)
    protocol = cast("PortProtocol", match[2])
    if first_text is None:
        return PortRule(protocol, denied=bool(denied))
    if protocol not in PROTOCOLS_WITH_PORTS:
        raise ValueError(f"{text!r}: {protocol} has no ports")
    first, last = int(first_text), int(last_text or first_text)
    if not 1 <= first <= last <= MAX_PORT:
        raise ValueError(f"{text!r}: ports are from 1 to {MAX_PORT}, the lower one first")
    return PortRule(protocol, first, last, bool(denied))


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """``[vpn.network]``: the inner network. The first host address of each pool is the server's own."""

    device: str = "ocs0"
    ipv4_pool: IPv4Network | None = DEFAULT_IPV4_POOL
    ipv6_pool: IPv6Network | None = DEFAULT_IPV6_POOL
    dns: tuple[Address, ...] = ()
    routes: tuple[Network, ...] = ()  # split include; empty: the default route
    no_routes: tuple[Network, ...] = ()
    mtu: int = 1400  # the largest inner packet
    default_domain: str = ""
    split_dns: tuple[str, ...] = ()  # domains resolved through the tunnel; empty: the client decides
    nbns: tuple[IPv4Address, ...] = ()  # NetBIOS name servers
    tunnel_all_dns: bool = False  # every name is resolved through the tunnel; implied by a default route
    client_bypass_protocol: bool = False  # traffic of a family without an inner address goes around the tunnel
    dynamic_include: tuple[str, ...] = ()  # domains whose addresses are routed through the tunnel; AnyConnect only
    dynamic_exclude: tuple[str, ...] = ()
    proxy_pac_url: str = ""
    restrict_to_routes: bool = False  # packets to and from other destinations are dropped
    restrict_to_ports: tuple[PortRule, ...] = ()  # empty: every port
    iroutes: tuple[Network, ...] = ()  # networks behind the client, routed to it
    append_routes: bool = False  # routes of groups and users are added to those below them
    expose_iroutes: bool = False  # other clients reach them, and get them as routes


@dataclass(frozen=True, slots=True)
class BandwidthSettings:
    """``[vpn.bandwidth]``: bytes per second in each direction, 0 for no limit."""

    from_client: int = 0
    to_client: int = 0
    per_user: bool = False  # all sessions of a user share one limit


@dataclass(frozen=True, slots=True)
class QuotaSettings:
    """``[vpn.quota]``: bytes of a user, both ways together, in a calendar day and month; 0 for no limit."""

    day: int = 0
    month: int = 0


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """``[vpn.limits]``."""

    max_clients: int = 1024
    max_same_clients: int = 2  # 0: any number
    on_excess: OnExcess = "deny_new"


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """``[vpn.session]``."""

    cookie_timeout: int = 300  # how long a session without a channel waits for its client
    disconnect_grace: int = 15  # how long a client that said goodbye may come back; Cisco's say it before they roam
    idle_timeout: int = 0
    mobile_idle_timeout: int = 0  # for phones; 0: ``idle_timeout``
    session_timeout: int = 0  # since the login, regardless of reconnects
    dpd: int = 90
    mobile_dpd: int = 1800  # for phones, which sleep
    keepalive: int = 32400
    rekey_time: int = 172800
    rekey_method: RekeyMethod = "ssl"
    deny_roaming: bool = False  # a session is bound to the address of its login
    dtls: bool = True  # offered, where the server has it

    def idle_timeout_of(self, *, mobile: bool) -> int:
        """That of a mobile client, or of another one."""
        return (mobile and self.mobile_idle_timeout) or self.idle_timeout


@dataclass(frozen=True, slots=True)
class CamouflageSettings:
    """``[vpn.camouflage]``. ``secret`` empty: off."""

    secret: str = field(default="", repr=False)
    realm: str = ""  # of the password that strangers are asked for; empty: they get 404


@dataclass(frozen=True, slots=True)
class TotpSettings:
    """``[auth.totp]``. ``required``: who must be enrolled; enrolled users are always asked."""

    required: Literal["enrolled", "all"] | tuple[str, ...] = "enrolled"  # or groups
    in_first_form: bool = False  # the code is asked for together with the password
    issuer: str = "ocsentry"
    key_file: Path = Path("totp.key")  # encrypts the users' secrets


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """``[auth.certificate]``. ``ca`` is asked for where the method ``certificate`` is used, and there only."""

    ca: Path | None = None  # PEM
    crl: Path | None = None  # PEM or DER
    crl_check: CrlCheck = "strict"
    user_field: str = "CN"
    group_field: str = ""
    at_connect: AtConnect = "same"
    ask_group: bool = False  # which group of a certificate with several, if the client chose none


@dataclass(frozen=True, slots=True)
class LoginRules:
    """Which methods a login needs: one of ``methods``, and all of ``require``."""

    methods: tuple[MethodName, ...] = ("password",)
    require: tuple[MethodName, ...] = ()

    @property
    def named(self) -> tuple[MethodName, ...]:
        return (*self.methods, *self.require)


NO_GROUP_RULES: Mapping[str, LoginRules] = MappingProxyType({})


class LoginRulesOverrides(TypedDict, total=False):
    """What a group sets of its ``LoginRules``."""

    methods: tuple[MethodName, ...]
    require: tuple[MethodName, ...]


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """``[auth]``, as far as the conversation with the client goes."""

    methods: tuple[MethodName, ...] = ("password",)  # alternatives
    require: tuple[MethodName, ...] = ()  # all of them as well
    attempts: int = 3  # wrong passwords before a login must start again
    timeout: int = 240  # from the first request of a login to the last
    remember_passwords: int = 300  # how long a verified password is not hashed again
    banner: str = ""  # shown after login
    pre_login_banner: str = ""  # shown with the first form
    groups: tuple[str, ...] = ()  # offered in the form, beside those with a label; none of either: none is asked for
    no_group_label: str = ""  # text of the form's option for no group; empty: there is none
    unoffered_groups: bool = False  # members may name groups that the form does not offer
    ocpasswd_file: Path | None = None  # ocserv's password file, read at each login; over the store's users
    oath_file: Path | None = None  # liboath's users file, read at each login
    totp: TotpSettings = field(default_factory=TotpSettings)
    certificate: CertificateSettings = field(default_factory=CertificateSettings)
    strap: Strap = "observe"  # what a client that fails to prove that it is the one of the login meets
    group_rules: Mapping[str, LoginRules] = field(default_factory=lambda: NO_GROUP_RULES)  # of groups with their own

    @property
    def rules(self) -> LoginRules:
        """The rules of a login without a group that has its own."""
        return LoginRules(self.methods, self.require)

    @property
    def named_methods(self) -> tuple[MethodName, ...]:
        """Every method that some login needs or allows, once."""
        every = (self.rules, *self.group_rules.values())
        return tuple(dict.fromkeys(name for rules in every for name in rules.named))

    @property
    def asks_for_certificates(self) -> bool:
        """True if TLS asks clients for a certificate."""
        return "certificate" in self.named_methods


class Overrides(TypedDict, total=False):
    """What a group, a user or an authentication server sets. An absent key falls through to the layer below.

    The sections are mappings of the keys of ``NetworkSettings`` and its neighbours. ``schedule`` and ``expires_at``
    say when logins are allowed: any time, and without end, if they are absent.
    """

    network: Mapping[str, object]
    bandwidth: Mapping[str, object]
    quota: Mapping[str, object]
    session: Mapping[str, object]
    limits: Mapping[str, object]
    banner: str
    profile: str  # XML that AnyConnect keeps for its next start
    label: str  # of a group: its text in the login form, where it is offered then
    auth: LoginRulesOverrides  # of a group that is not of the configuration: rules of logins by it
    schedule: tuple[Window, ...]
    expires_at: datetime  # aware
    static_ipv4: IPv4Address
    static_ipv6: IPv6Address
    hostname: str  # that the client is given


NO_GROUPS: Mapping[str, Overrides] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate chain and its key in PEM, or both in one PKCS #12 file, and an OCSP response in DER."""

    certificate: Path
    private_key: Path
    ocsp_response: Path | None = None  # that is stapled
    password_file: Path | None = None  # of the key


@dataclass(frozen=True, slots=True)
class SettingsPlaces:
    """ocserv's files with settings of users and groups, as the fields of ``VpnSettings`` with these names."""

    user_config_dir: Path | None = None
    group_config_dir: Path | None = None
    default_user_config: Path | None = None
    default_group_config: Path | None = None


@dataclass(frozen=True, slots=True)
class HostSettings:
    """One table of ``[[vpn.host]]``. ``groups`` not empty: only their members may log in, and the form offers these."""

    name: str  # in lower case, compared with SNI
    auth: AuthSettings
    certificates: tuple[CertificateFiles, ...] = ()  # empty: those of the server
    groups: tuple[str, ...] = ()
    overrides: Overrides = field(default_factory=Overrides)  # under those of groups and users
    folders: SettingsPlaces | None = None  # None: those of the server
    own_methods: bool = False  # they are set up in another way than the server's


@dataclass(frozen=True, slots=True)
class RadiusServer:
    """One server of ``auth.radius.servers``. ``accounting`` is the endpoint for accounting, ``address`` for logins."""

    address: Endpoint
    accounting: Endpoint
    secret_file: Path
    require_message_authenticator: bool = True


@dataclass(frozen=True, slots=True)
class RadiusSettings:
    """``[auth.radius]``."""

    servers: tuple[RadiusServer, ...] = ()  # in the order in which they are asked
    timeout: int = 15  # for an answer of one server, over all tries
    retries: int = 3  # repetitions of a request
    dead_time: int = 60  # how long a server without an answer is passed over
    nas_identifier: str = "ocsentry"
    default_realm: str = ""  # appended to a user name without one
    group_config: bool = False  # settings of the session are taken from the Access-Accept
    bandwidth_unit: int = 1000  # bytes/s of one unit of the server's bandwidth limits


@dataclass(frozen=True, slots=True)
class KdcRealm:
    """The KDC of a realm behind a path. Requests for none, or for another one, go to the path's first."""

    path: str
    realm: str
    server: Endpoint


@dataclass(frozen=True, slots=True)
class VpnSettings:
    """``[vpn]``. ``dtls_listen`` empty: the TCP endpoints serve UDP too. ``worker_threads`` 0: one per core.

    ``offloads``: which batching of the kernel may be used where it has it.
    """

    listen: tuple[Endpoint, ...] = (Endpoint(IPv4Address("0.0.0.0"), 443),)  # noqa: S104 - a VPN server faces the world
    listen_netns: str = ""  # a named network namespace for the sockets; empty: the server's own
    dtls: bool = True
    dtls_modes: tuple[DtlsMode, ...] = ("certificate", "psk", "resumption")
    dtls_listen: tuple[Endpoint, ...] = ()
    proxy_from: tuple[Network, ...] = ()  # whose connections begin with a PROXY header
    certificate: Path = Path("server.crt")  # PEM chain
    private_key: Path = Path("server.key")
    private_key_password_file: Path | None = None
    ocsp_response: Path | None = None  # DER, of that certificate
    certificates: tuple[CertificateFiles, ...] = ()  # more of them
    ciphers: tuple[CipherName, ...] = DEFAULT_CIPHERS
    hosts: tuple[HostSettings, ...] = ()
    worker_threads: int = 0
    offloads: tuple[OffloadName, ...] = ("tso", "uso", "coalesce", "acks", "udp_gso", "udp_gro")
    output_buffer: int = 262_144  # unsent output of a TLS connection in the kernel; 0: as much as it takes
    network: NetworkSettings = field(default_factory=NetworkSettings)
    bandwidth: BandwidthSettings = field(default_factory=BandwidthSettings)
    quota: QuotaSettings = field(default_factory=QuotaSettings)
    fips: bool = False  # only with a FIPS module of wolfSSL, and what it may do
    profile: str = ""  # the client profile, XML; empty: none
    user_config_dir: Path | None = None  # ocserv's config-per-user, read at each login
    group_config_dir: Path | None = None  # config-per-group
    default_user_config: Path | None = None  # for users without a file there
    default_group_config: Path | None = None
    iroutes_within: tuple[Network, ...] = PRIVATE_NETWORKS  # what clients may have behind them
    addresses_within: tuple[Network, ...] = PRIVATE_NETWORKS  # where fixed addresses in no pool may be
    limits: LimitSettings = field(default_factory=LimitSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    camouflage: CamouflageSettings = field(default_factory=CamouflageSettings)
    kdc_proxy: tuple[KdcRealm, ...] = ()  # what paths pass on to Kerberos KDCs
    ip_phones: bool = False  # their logins at /svc
    http_headers: tuple[Header, ...] = ()  # of all answers before the tunnel, beside the server's own
    extra_headers: tuple[Header, ...] = ()  # of the answer to CONNECT, beside the server's own
    client_page: bool = True  # for a browser at the server's own address
    survive_restart: bool = True  # sessions are given back by the next process
    drain: int = 0  # seconds that a stopping server leaves its sessions after it accepts no more
    drain_at_least: int = 0  # seconds that it stays with no session, too
    auth: AuthSettings = field(default_factory=AuthSettings)
    groups: Mapping[str, Overrides] = field(default_factory=lambda: NO_GROUPS)  # of the configuration file, by name

    def own_certificates(self) -> tuple[CertificateFiles, ...]:
        """Those of the server itself, by preference."""
        own = CertificateFiles(self.certificate, self.private_key, self.ocsp_response, self.private_key_password_file)
        return (own, *self.certificates)

    def every_certificate(self) -> tuple[CertificateFiles, ...]:
        """Those of the server and of its virtual hosts."""
        return (*self.own_certificates(), *(files for host in self.hosts for files in host.certificates))

    @property
    def asks_for_certificates(self) -> bool:
        """True if TLS asks clients of the server or of a virtual host for a certificate."""
        return any(auth.asks_for_certificates for auth in (self.auth, *(host.auth for host in self.hosts)))

    @property
    def has_short_lived_files(self) -> bool:
        """True if there are files that programs replace without a signal: revocation lists, OCSP responses."""
        return self.asks_for_certificates or any(files.ocsp_response for files in self.every_certificate())

    def method_names(self) -> tuple[MethodName, ...]:
        """Every method that the server or a virtual host uses."""
        auths = (self.auth, *(host.auth for host in self.hosts))
        return tuple(dict.fromkeys(name for auth in auths for name in auth.named_methods))

    @property
    def folders(self) -> SettingsPlaces:
        """Those of the server itself."""
        return SettingsPlaces(
            self.user_config_dir, self.group_config_dir, self.default_user_config, self.default_group_config
        )

    def hosts_with_accounts(self) -> tuple[HostSettings, ...]:
        """The virtual hosts that have files of users, or methods, of their own."""
        return tuple(host for host in self.hosts if self._has_accounts(host))

    def _has_accounts(self, host: HostSettings) -> bool:
        files = (host.auth.ocpasswd_file, host.auth.oath_file) != (self.auth.ocpasswd_file, self.auth.oath_file)
        return files or host.own_methods or (host.folders is not None and host.folders != self.folders)

    def more_pools(self) -> dict[Network, str]:
        """The pools that groups of the configuration and virtual hosts bring, each with the first key that has it."""
        own = {self.network.ipv4_pool, self.network.ipv6_pool}
        layers = [(f"groups.{name}", overrides) for name, overrides in self.groups.items()]
        layers += [(f"vpn.host.{host.name}", host.overrides) for host in self.hosts]
        found: dict[Network, str] = {}
        for where, overrides in layers:
            for key in ("ipv4_pool", "ipv6_pool"):
                pool = overrides.get("network", {}).get(key)
                if isinstance(pool, IPv4Network | IPv6Network) and pool not in own:
                    found.setdefault(pool, where)
        return found
