# SPDX-License-Identifier: GPL-3.0-or-later
"""What occtl shows, from what the API answers. Pure: ``now`` is an argument."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from ocsentry.occtl.figures import (
    TLS13,
    read_moment,
    show_bytes,
    show_cipher,
    show_interval,
    show_moment,
    show_seconds,
)
from ocsentry.occtl.layout import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

Document = dict[str, Any]

NO_GROUP = "(none)"
NO_DTLS = "(no-dtls)"
DEFAULT_HOST = "default"  # ocserv's word for the server itself
SHORT = 6  # characters of a session's id
NOTE = (
    "Note: the printed statistics are not real-time; session time\n"
    "as well as RX and TX data are updated on user disconnect"
)
USER_COLUMNS = (
    *(("id", 8), ("user", 8), ("vhost", 8), ("ip", 14), ("vpn-ip", 14), ("device", 6)),
    *(("since", 7), ("dtls-cipher", 14), ("status", 9)),
)
SESSION_COLUMNS = (
    *(("session", 6), ("user", 8), ("vhost", 8), ("ip", 14), ("user agent", 24), ("created", 8), ("status", 8)),
)
IROUTE_COLUMNS = (("id", 6), ("user", 8), ("vhost", 8), ("device", 6), ("vpn-ip", 16), ("iroute", 28))
BAN_COLUMNS = (("IP", 14), ("score", 14), ("expires", 30))
POINTS = {"auth_failure": 10}  # ocserv's ban-points-wrong-password; any other event, such as a connection, is one
POINT_COLUMNS = (("IP", 14), ("score", 14))


def connected(sessions: Iterable[Document]) -> list[Document]:
    """The sessions with a channel: ocserv shows no others as users."""
    return [session for session in sessions if session["state"] == "connected"]


def status_blocks(
    status: Document, statistics: Document, sessions: Sequence[Document], *, bans: int, process: int, now: datetime
) -> tuple[Block, Block]:
    """``General info`` and ``Current stats period``."""
    general, period = Block(), Block()
    started, since = read_moment(status["started_at"]), read_moment(statistics["since"])
    uptime = int(status["uptime"])
    general.put({"Status": "online"})
    general.put({"Server PID": process})
    general.put({"Sec-mod PID": process})  # one process does the work of both
    general.put({"Sec-mod instance count": 1})
    raw_started = {"raw_up_since": int(started.timestamp()), "uptime": uptime}
    general.put_moment("Up since", show_moment(started), show_interval(uptime), **raw_started)
    general.put({"Active sessions": len(connected(sessions))})
    general.put({"Total sessions": statistics["sessions"]})
    general.put({"Total authentication failures": statistics["refused_logins"]})
    general.put({"IPs in ban list": bans})
    age = (now - since).total_seconds()
    raw_since = {"raw_last_stats_reset": int(since.timestamp())}
    period.put_moment("Last stats reset", show_moment(since), show_interval(age), **raw_since)
    period.put({"Sessions handled": statistics["ended"]})
    period.put({"Timed out sessions": statistics["timed_out"]})
    period.put({"Timed out (idle) sessions": statistics["idle"]})
    period.put({"Closed due to error sessions": statistics["failed"]})
    period.put({"Authentication failures": statistics["refused_logins_in_period"]})
    for name, raw, key in (("Average", "avg", "average"), ("Max", "max", "longest")):
        seconds = statistics[f"{key}_login"]
        _put_raw(period, f"{name} auth time", show_seconds(seconds), f"raw_{raw}_auth_time", round(seconds))
    for name, raw, key in (("Average", "avg", "average"), ("Max", "max", "longest")):
        seconds = statistics[f"{key}_session"]
        _put_raw(period, f"{name} session time", show_interval(seconds), f"raw_{raw}_session_time", round(seconds))
    if statistics["max_mtu"]:
        period.put({"Min MTU": statistics["min_mtu"]})
        period.put({"Max MTU": statistics["max_mtu"]})
    _put_raw(period, "RX", show_bytes(statistics["rx_bytes"]), "raw_rx", statistics["rx_bytes"])
    _put_raw(period, "TX", show_bytes(statistics["tx_bytes"]), "raw_tx", statistics["tx_bytes"])
    return general, period


def _put_raw(block: Block, name: str, shown: str, raw_name: str, raw: int) -> None:
    block.put({name: shown, raw_name: raw}, f"{name}: {shown}")


def user_block(session: Document, now: datetime) -> Block:
    """One connected user. The keys of older versions (``Connected at``) are there, too."""
    block, network = Block(), session["network"]
    block.put({"ID": session["number"]})
    block.put({"Username": session["user"], "Groupname": _group(session)})
    block.put({"State": session["state"]})
    block.put({"vhost": show_host(session)})
    block.put({"Device": network["device"], "MTU": str(session["mtu"])})
    block.put({"Remote IP": session["address"], "Location": "unknown"})
    if session["ipv4"]:
        block.put({"IPv4": session["ipv4"], "P-t-P IPv4": session["server_ipv4"] or ""})
    if session["ipv6"]:
        block.put({"IPv6": session["ipv6"], "P-t-P IPv6": session["server_ipv6"] or ""})
    block.put({"User-Agent": session["user_agent"]})
    _put_limits(block, session["bandwidth"])
    _put_traffic(block, session, now)
    block.put({"DPD": str(session["dpd"]), "KeepAlive": str(session["keepalive"])})
    block.put({"Hostname": session["hostname"]})
    _put_times(block, session, now)
    block.put({"Full session": session["id"]}, "")
    block.put({"Session": session["id"][:SHORT]})
    block.put({"TLS ciphersuite": show_cipher(session["tls_version"].replace("TLSv", "TLS"), session["cipher"])})
    block.put({"DTLS cipher": _dtls_cipher(session)})
    for name, key in (("DNS", "dns"), ("NBNS", "nbns"), ("Split-DNS-Domains", "split_dns")):
        block.put({name: list(network[key])})
    block.put({"Routes": _show_routes(network["routes"]) or "defaultroute"})
    block.put({"No-routes": _show_routes(network["no_routes"])})
    block.put({"iRoutes": _iroutes(session)})
    block.put({"Restricted to routes": str(network["restrict_to_routes"])})
    ports = [_port(rule) for rule in network["restrict_to_ports"]]
    block.put({"Restricted to ports": ports}, f"Restricted to ports: {', '.join(ports)}" if ports else "")
    return block


def show_host(session: Document) -> str:
    return str(session["host"]) or DEFAULT_HOST


def _show_routes(routes: Iterable[str]) -> list[str]:
    """IPv4 with a mask, as ocserv writes it to clients."""
    networks = map(ip_network, routes)
    return [network.with_netmask if network.version == 4 else str(network) for network in networks]


def _dtls_cipher(session: Document) -> str:
    name = session["dtls_cipher"]
    return show_cipher("DTLS1.3" if name.startswith(TLS13) else "DTLS1.2", name) if name else ""


def _put_limits(block: Block, bandwidth: Document) -> None:
    limits = {"Limit RX": bandwidth["from_client"], "Limit TX": bandwidth["to_client"]}
    block.put({name: show_bytes(rate, "/s") for name, rate in limits.items() if rate})


def _put_traffic(block: Block, session: Document, now: datetime) -> None:
    counters = session["counters"]
    received, sent = counters["rx_bytes"], counters["tx_bytes"]
    seconds = max(1.0, (now - read_moment(session["started_at"])).total_seconds())
    human = (show_bytes(received), show_bytes(sent))
    block.put(
        {"RX": str(received), "TX": str(sent), "_RX": human[0], "_TX": human[1]},
        f"RX: {received} ({human[0]})   TX: {sent} ({human[1]})",
    )
    rates = (show_bytes(received / seconds, "/s"), show_bytes(sent / seconds, "/s"))
    block.put({"Average RX": rates[0], "Average TX": rates[1]}, f"Average bandwidth RX: {rates[0]}  TX: {rates[1]}")


def _put_times(block: Block, session: Document, now: datetime) -> None:
    connected_at, began = _connected_at(session), read_moment(session["logged_in_at"])
    shown, relative = show_moment(connected_at), show_interval((now - connected_at).total_seconds())
    block.put_moment("Last connected at", shown, relative)
    block.put_moment("Session started at", show_moment(began), show_interval((now - began).total_seconds()))
    block.put({"Connected at": shown, "_Connected at": relative}, "")
    raw = {"raw_connected_at": connected_at, "raw_session_started_at": began}
    block.put({name: int(moment.timestamp()) for name, moment in raw.items()}, "")


def user_row(session: Document, now: datetime) -> tuple[object, ...]:
    since = show_interval((now - _connected_at(session)).total_seconds())
    where = (session["address"], _inner(session), session["network"]["device"])
    dtls = _dtls_cipher(session) or NO_DTLS
    return (session["number"], session["user"], show_host(session), *where, since, dtls, session["state"])


def session_block(session: Document, now: datetime) -> Block:
    """A session that its client may come back to: with a tunnel (``state``), or a login that waits for one."""
    block, created = Block(), read_moment(session["logged_in_at"])
    state = session.get("state", "")
    expires = (now if state else created).timestamp() + session["cookie_timeout"]
    block.put({"Session": session["id"][:SHORT]})
    block.put({"Full session": session["id"]}, f"Full session ID: {session['id']}")
    block.put({"Created": show_moment(created), "Expires": show_moment(now.fromtimestamp(expires, now.tzinfo))})
    block.put({"State": "authenticated"})
    block.put({"Username": session["user"], "Groupname": _group(session)})
    block.put({"vhost": show_host(session), "User-Agent": session["user_agent"]})
    block.put({"Remote IP": session["address"] or "", "Location": "unknown"})
    opened, used, certified = bool(state), state == "connected", bool(session["by_certificate"])
    block.put(
        {"session_is_open": int(opened), "tls_auth_ok": int(certified), "in_use": int(used)},
        f"In use: {used}   Activated: {opened}\n\tCertificate auth: {certified}",
    )
    return block


def session_row(session: Document, now: datetime) -> tuple[object, ...]:
    age = show_interval((now - read_moment(session["logged_in_at"])).total_seconds())
    where = (session["address"] or "", session["user_agent"][:24])
    return (session["id"][:SHORT], session["user"], show_host(session), *where, age, "authenticated")


def iroute_block(session: Document) -> Block:
    block = Block()
    block.put({"ID": session["number"], "Username": session["user"], "vhost": show_host(session)})
    block.put({"Device": session["network"]["device"], "IP": _inner(session), "iRoutes": _iroutes(session)})
    return block


def iroute_rows(session: Document) -> list[tuple[object, ...]]:
    start = (session["number"], session["user"], show_host(session), session["network"]["device"], _inner(session))
    return [(*start, route) for route in _iroutes(session)]


def list_bans(penalties: Iterable[Document], blocks: Iterable[Document]) -> list[Document]:
    """The refused addresses of both, with ``ip``, ``until`` (``None``: without end) and ``score``."""
    found = {row["network"]: {"until": row["until"], "score": row["strikes"]} for row in penalties}
    for row in blocks:
        found.setdefault(row["cidr"], {"until": row["expires_at"], "score": 0})
    return [{"ip": _address(network), **row} for network, row in found.items()]


def list_points(sources: Iterable[Document]) -> list[Document]:
    """Sources with points, with ``ip`` and ``score``: ocserv's points for what limits count of them."""
    scores = {
        source["network"]: sum(POINTS.get(kind["event"], 1) * kind["count"] for kind in source["events"])
        for source in sources
    }
    return [{"ip": _address(network), "score": score} for network, score in scores.items() if score]


def ban_block(ban: Document, now: datetime, *, points: bool) -> Block:
    """``Since`` is the end of a ban, as ocserv has it."""
    block = Block()
    block.put({"IP": ban["ip"]})
    if not points:
        shown, relative = _ban_end(ban, now)
        block.put_moment("Since", shown, relative)
    block.put({"Score": ban["score"]})
    return block


def ban_row(ban: Document, now: datetime, *, points: bool) -> tuple[object, ...]:
    if points:
        return (ban["ip"], ban["score"])
    shown, relative = _ban_end(ban, now)
    return (ban["ip"], ban["score"], f"{shown} ({relative})")


def _ban_end(ban: Document, now: datetime) -> tuple[str, str]:
    if ban["until"] is None:
        return "without end", show_interval(-1)
    until = read_moment(ban["until"])
    return show_moment(until), show_interval((until - now).total_seconds())


def _address(network: str) -> str:
    parsed = ip_network(network)
    return str(parsed.network_address) if parsed.num_addresses == 1 else network


def _connected_at(session: Document) -> datetime:
    return read_moment(session["connected_at"] or session["started_at"])


def _group(session: Document) -> str:
    return next(iter(session["groups"]), NO_GROUP)


def _inner(session: Document) -> str:
    return str(session["ipv4"] or session["ipv6"] or "")


def _iroutes(session: Document) -> list[str]:
    return list(session["network"].get("iroutes", ()))


def _port(rule: str) -> str:
    """``tcp/443`` as ocserv writes it: ``tcp(443)``."""
    protocol, _, ports = rule.partition("/")
    return f"{protocol}({ports})"
