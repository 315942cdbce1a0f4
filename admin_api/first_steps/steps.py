# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds out which of the first steps are done, from what the running server sees of itself.

A step counts as done when it shows its effect: packets that came back through a tunnel prove forwarding and address
translation, which no reading of the host's tables does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.first_steps.schemas import FirstStepView, StepName
from admin_api.http.identity import CONSOLE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.services import Services
    from admin_api.store.unit_of_work import UnitOfWork

LOOKED_AT = 20  # ended sessions, the latest


async def find_steps(services: Services) -> Sequence[FirstStepView]:
    async with services.store.read() as unit:
        return [
            _certificate(services),
            _own_networks(services),
            await _user(services, unit),
            *await _connection_and_traffic(services, unit),
            await _second_token(services, unit),
        ]


def _certificate(services: Services) -> FirstStepView:
    ends = services.facts.certificates.get("vpn")
    if ends is None:
        done, detail = False, "The server has not read its certificate yet"
    elif services.facts.self_signed:
        done, detail = False, "It is self-signed: clients ask for its pin, and phones refuse it"
    else:
        done, detail = ends > services.clock.wall(), f"It ends on {ends:%Y-%m-%d}"
    return _step(StepName.CERTIFICATE, "A certificate that clients trust", "ocsentry doctor", detail, done=done)


def _own_networks(services: Services) -> FirstStepView:
    networks = [network for network in services.enforcement.never_block if not network.is_loopback]
    detail = f"Never blocked: {', '.join(map(str, networks))}" if networks else "policy.never_block has none of yours"
    title = "Your own networks can never be blocked"
    how = "policy.never_block in the configuration, then: ocsentry reload"
    return _step(StepName.OWN_NETWORKS, title, how, detail, done=bool(networks))


async def _user(services: Services, unit: UnitOfWork) -> FirstStepView:
    found = await unit.users.page(after=None, limit=1)
    views = services.sessions.list()
    if found or views:
        detail = f"{(found[0].name if found else views[0].user)} may log in"
    else:
        detail = "The database has no user, and no other place has let one in"
    return _step(StepName.USER, "A user", "ocsentry user add alice", detail, done=bool(found or views))


async def _connection_and_traffic(services: Services, unit: UnitOfWork) -> Sequence[FirstStepView]:
    views = services.sessions.list()
    ended = await unit.sessions.page(past=None, limit=LOOKED_AT)
    carried = [(view.counters.rx_bytes, view.counters.tx_bytes) for view in views]
    carried += [(record.rx_bytes, record.tx_bytes) for record in ended]
    if views:
        detail = f"{views[0].user} is connected from {views[0].address}"
    elif ended:
        detail = f"{ended[0].user} was connected from {ended[0].address}"
    else:
        detail = "No client has connected yet"
    connect = "openconnect --user=alice NAME"
    answered = any(rx and tx for rx, tx in carried)
    reached = "Packets came back through a tunnel" if answered else "No packet came back through a tunnel yet"
    return (
        _step(StepName.CONNECTION, "A client connects", connect, detail, done=bool(carried)),
        _step(
            StepName.TRAFFIC, "Clients reach what is behind the server", "ocsentry network up", reached, done=answered
        ),
    )


async def _second_token(services: Services, unit: UnitOfWork) -> FirstStepView:
    now = services.clock.wall()
    tokens = [
        token
        for token in await unit.tokens.read_all()
        if not token.name.startswith(CONSOLE_PREFIX) and (token.expires_at is None or token.expires_at > now)
    ]
    detail = f"{len(tokens)}, not counting those of people in the console"
    title = "A second token, should the first one be lost"
    return _step(StepName.SECOND_TOKEN, title, "ocsentry token create spare", detail, done=len(tokens) > 1)


def _step(name: StepName, title: str, how: str, detail: str, *, done: bool) -> FirstStepView:
    return FirstStepView(name=name, title=title, done=done, detail=detail, how=how)
