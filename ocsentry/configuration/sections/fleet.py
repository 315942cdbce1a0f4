# SPDX-License-Identifier: GPL-3.0-or-later
"""``[fleet]``: this server is one node of several that share a PostgreSQL database."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator

from ocsentry.configuration.fields import (
    SECONDS,
    ListenAddress,
    OptionalPath,
    Seconds,
    Section,
    empty_as_none,
    field,
)

FLEET_DPD = 10  # seconds, where vpn.session.dpd is not set: a client leaves a dead node after twice this time


class FleetSection(Section):
    name: str = field(
        "",
        "Name of this node, of no other one of the fleet. Empty: no fleet, and none of these keys matters. In a fleet "
        f"`vpn.session.dpd` is {FLEET_DPD} where it is not set, so that clients leave a dead node soon.",
        pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$",
        max_length=63,
    )
    secret_file: OptionalPath = field(
        "",
        "File with 64 hexadecimal digits, the same on all nodes (`openssl rand -hex 32`, mode 600): it seals cookies, "
        "and by it nodes know each other.",
    )
    peer_listen: Annotated[ListenAddress | None, BeforeValidator(empty_as_none)] = field(
        "",
        "TCP address at which the other nodes tell this one at once what the database orders: mutual TLS, by "
        "`secret_file`. Empty: they reach it over the database only, within half a second.",
    )
    peer_url: str = field(
        "",
        "URL by which the other nodes reach `peer_listen`. Empty: `https://` and that address.",
        pattern=r"^(https://[^\s/?#]+/?)?$",
        max_length=256,
    )
    dead_after: Seconds = field(
        10,
        "Silence after which the others count this node as dead, and its sessions may go on elsewhere. The same on all "
        "nodes.",
        unit=SECONDS,
        ge=3,
        le=120,
    )
    addresses: Literal["nat", "routed"] = field(
        "nat",
        "How inner addresses are reached: the network of each node translates them (NAT), or each address in use is a "
        "route of the kernel on the node that has the session, for a routing daemon to announce.",
    )
    on_store_loss: Literal["local", "deny"] = field(
        "local",
        "New logins while the database is away: this node decides alone, within what it knows, or refuses. Tunnels "
        "live on in any case.",
    )
    in_split: Literal["give_way", "hold"] = field(
        "give_way",
        "`max_same_clients` while a node is cut off: sessions of the cut-off node give way to new ones (up to twice "
        "the limit), or keep their places until the cookie's time is over (never more than the limit).",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.name and self.secret_file is None:
            raise ValueError("secret_file: name the file with the secret that all nodes share")
        if self.peer_url and self.peer_listen is None:
            raise ValueError("peer_listen: set it, or remove peer_url")
        return self
