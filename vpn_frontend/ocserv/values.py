# SPDX-License-Identifier: GPL-3.0-or-later
"""Values in ocserv's configuration files, read as ocserv reads them.

Each reader returns the value and, where the text looks like something else than what ocserv makes of it, a remark for
the operator. Readers raise ``ValueError`` with a text for the operator.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_interface

ON = frozenset({"true", "yes"})
OFF = frozenset({"false", "no"})
MAX_NUMBER = 2**31 - 1
DEFAULT_ROUTES = frozenset({"default", "0.0.0.0/0", "0.0.0.0/0.0.0.0", "::/0"})
_NUMBER = re.compile(r"[ \t]*([+-]?[0-9]+)(.*)", re.DOTALL | re.ASCII)
_PORT_RULE = re.compile(r"(tcp|udp|sctp|icmp|icmpv6|esp)\s*\(\s*([0-9]{0,5})\s*\)", re.ASCII)
_LABELLED = re.compile(r"([^\[\]]+?)\s*\[(.*)\]?", re.DOTALL)
_METHOD = re.compile(r"([A-Za-z0-9_-]+)\s*(?:\[(.*)\])?\s*", re.DOTALL)
MAX_SUBOPTIONS = 5
MAX_PORT = 65_535
WITH_PORTS = frozenset({"tcp", "udp", "sctp"})


def read_switch(text: str) -> tuple[bool, str]:
    """``true`` and ``yes`` in any case are on; everything else is off."""
    word = text.lower()
    if word in ON or word in OFF:
        return word in ON, ""
    return False, f"ocserv reads {text!r} as off: write true or false"


def read_number(text: str) -> tuple[int, str]:
    """The number at the beginning of the text; without one it is 0."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return 0, f"ocserv reads {text!r} as 0"
    number, rest = int(found[1][:20]), found[2].strip()
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"{text!r} is not a number from 0 to {MAX_NUMBER}")
    return number, f"ocserv reads {text!r} as {number}" if rest else ""


def is_default_route(text: str) -> bool:
    """True if a route means that all traffic goes through the tunnel; it empties the list."""
    return text in DEFAULT_ROUTES


def read_network(text: str) -> tuple[IPv4Network | IPv6Network, str]:
    """A network with a prefix length or a dotted mask, or one address. Bits behind the prefix are stripped."""
    try:
        interface = ip_interface(text.replace(" ", ""))
    except ValueError:
        raise ValueError(f"{text!r} is not a network such as 192.0.2.0/24") from None
    network = interface.network
    return network, "" if interface.ip == network.network_address else f"{text} is read as {network}"


def read_ports(text: str) -> list[str]:
    """Returns ``restrict-user-to-ports`` as entries of ``restrict_to_ports``."""
    inner, mark = text.strip(), ""
    if inner.startswith("!"):
        inner, mark = inner[1:].strip(), "!"
        if not (inner.startswith("(") and inner.endswith(")")):
            raise ValueError(f"{text!r}: after ! comes a list in parentheses")
        inner = inner[1:-1]
    rules = []
    for part in filter(None, (one.strip() for one in inner.split(","))):
        found = _PORT_RULE.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is not tcp(PORT), udp(PORT), sctp(PORT), icmp(), icmpv6() or esp()")
        rules.append(mark + _port_rule(found[1], found[2], part))
    return rules


def _port_rule(protocol: str, port: str, part: str) -> str:
    if protocol not in WITH_PORTS or not port:
        return protocol
    if not 1 <= int(port) <= MAX_PORT:
        raise ValueError(f"{part!r}: a port is a number from 1 to {MAX_PORT}")
    return f"{protocol}/{int(port)}"


def read_labelled(text: str) -> tuple[str, str]:
    """``NAME[Text for users]``. Returns the name and the text, which is empty without brackets."""
    found = _LABELLED.fullmatch(text.strip())
    if found is None:
        return text.strip(), ""
    return found[1].strip(), found[2].removesuffix("]").strip()


def read_method(text: str) -> tuple[str, dict[str, str]]:
    """``METHOD[key=value,key=value]``. The older form ``plain[FILE]`` has the one key ``""``."""
    found = _METHOD.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not METHOD or METHOD[key=value,…]")
    options: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in (found[2] or "").split(","))):
        key, separator, value = part.partition("=")
        if separator:
            options[key.strip()] = value.strip()
        else:
            options[""] = part
    if len(options) > MAX_SUBOPTIONS:
        raise ValueError(f"{text!r}: at most {MAX_SUBOPTIONS} values in brackets")
    return found[1].lower(), options
