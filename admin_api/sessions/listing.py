# SPDX-License-Identifier: GPL-3.0-or-later
"""Live sessions: those of this server, and in a fleet those of the other nodes with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from admin_api.http.lists.sorting import place_of, sorted_page
from admin_api.http.problems import unavailable
from admin_api.sessions.schemas import SessionLive
from admin_api.store.failures import describe_failure, is_unavailable
from sentry_engine.records import dataclass
from vpn_frontend.ports import SessionState, SessionView

if TYPE_CHECKING:
    from admin_api.http.lists.paging import Page, Paging
    from admin_api.services import Services
    from vpn_frontend.settings import Network

SORT_KEYS: dict[str, Callable[[SessionView], str | float]] = {
    "id": lambda view: view.id,
    "user": lambda view: view.user,
    "started_at": lambda view: view.started_at.timestamp(),
    "rx_bytes": lambda view: view.counters.rx_bytes,
    "tx_bytes": lambda view: view.counters.tx_bytes,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions; ``None``: any."""

    user: str | None = None
    group: str | None = None
    network: Network | None = None
    state: SessionState | None = None
    transport: str | None = None
    node: str | None = None
    local: bool = False  # only those of this server

    def fits(self, view: SessionView) -> bool:
        """Whether ``view`` is wanted, wherever it is."""
        return (
            (self.user is None or view.user == self.user)
            and (self.group is None or self.group in view.groups)
            and (self.network is None or view.address in self.network)
            and (self.state is None or view.state is self.state)
            and (self.transport is None or view.transport == self.transport)
        )

    def as_filters(self) -> dict[str, object]:
        """The same for the database."""
        roaming = None if self.state is None else self.state is SessionState.ROAMING
        if self.transport is not None:
            roaming = self.transport == "none" if roaming is None else roaming
        return {
            "user": self.user,
            "group": self.group,
            "network": None if self.network is None else str(self.network),
            "roaming": roaming,
            "transport": None if self.transport == "none" else self.transport,
            "node": self.node,
        }


async def list_live(services: Services, paging: Paging, wanted: Wanted, order: str) -> Page[SessionLive]:
    """Raises ``ApiError`` if the sessions of other nodes are wanted, and the database does not answer."""
    own = services.store.node
    views = [view for view in services.sessions.list() if wanted.node in {None, own} and wanted.fits(view)]
    places: Mapping[str, str] = {}
    if own and wanted.node != own and not wanted.local:
        from admin_api.fleet.sessions.session_list import sessions_elsewhere  # noqa: PLC0415 - nodes of a fleet alone need it

        here = {view.id for view in views}
        try:
            others = await sessions_elsewhere(
                services.store,
                _dead_after(services),
                wanted.as_filters(),
                order=order,
                after=place_of(paging, order),
                limit=2 * paging.fetch,  # some may have come to this node meanwhile
            )
        except Exception as error:
            if not is_unavailable(error):
                raise
            why = describe_failure(error)
            raise unavailable(f"The sessions of other nodes are not known now, ask with local=true: {why}") from error
        places = {one.view.id: one.node for one in others if one.view.id not in here}
        views += [one.view for one in others if one.view.id in places]

    def show(view: SessionView) -> SessionLive:
        return SessionLive.model_validate(view).model_copy(update={"node": places.get(view.id, own)})

    return sorted_page(paging, views, order, SORT_KEYS, lambda view: view.id, show)


async def find_live(services: Services, session_id: str) -> SessionLive | None:
    """Returns one live session, of any node. Raises the database's error."""
    view, node = services.sessions.get(session_id), services.store.node
    if view is None and node:
        from admin_api.fleet.sessions.session_list import sessions_elsewhere  # noqa: PLC0415 - nodes of a fleet alone need it

        for one in await sessions_elsewhere(services.store, _dead_after(services), {"id": session_id}):
            view, node = one.view, one.node
    return None if view is None else SessionLive.model_validate(view).model_copy(update={"node": node})


async def count_live(services: Services, user: str) -> int:
    """Returns how many live sessions a user has, on all nodes. Raises the database's error."""
    return count_here(services, user) + await count_on_others(services, user)


def count_here(services: Services, user: str) -> int:
    """Returns how many this server has."""
    return sum(view.user == user for view in services.sessions.list())


async def count_on_others(services: Services, user: str) -> int:
    """Returns how many the other nodes of a fleet have. Raises the database's error."""
    if not services.store.node:
        return 0
    from admin_api.fleet.sessions.session_list import count_elsewhere  # noqa: PLC0415 - nodes of a fleet alone need it

    return await count_elsewhere(services.store, user)


def _dead_after(services: Services) -> float:
    assert services.fleet is not None  # noqa: S101 - a store has a node's name in a fleet alone
    return services.fleet.settings.dead_after
