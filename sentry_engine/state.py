# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine has learnt, as values that outlive it: who is in penalty, which blocks hold, where users were seen.

Times are Unix time here, because the next engine has another clock. Who keeps them is a port: the engine writes no
files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sentry_engine.addresses import AddressError, pack_network, render_network
from sentry_engine.verdict import Reason

MAX_PENALTIES = 1_000_000  # of one state; more than both cores hold


@dataclass(frozen=True, slots=True)
class KeptPenalty:
    """``until`` is Unix time, ``None`` for ever."""

    network: str
    until: float | None
    reason: Reason
    rule_id: str | None


@dataclass(frozen=True, slots=True)
class KeptBlock:
    id: str
    networks: tuple[str, ...]
    text: str
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class State:
    penalties: tuple[KeptPenalty, ...] = ()
    blocks: tuple[KeptBlock, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; ``from_json`` reads them."""
        return {
            "version": 1,
            "penalties": [
                {"network": p.network, "until": p.until, "reason": p.reason.value, "rule_id": p.rule_id}
                for p in self.penalties
            ],
            "blocks": [
                {"id": b.id, "networks": list(b.networks), "text": b.text, "expires_at": b.expires_at}
                for b in self.blocks
            ],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> State:
        """Raises ``ValueError`` for what ``to_json`` does not write: a state is restored whole or not at all."""
        try:
            if document["version"] != 1:
                raise ValueError(f"version {document['version']!r} of a state is not known")
            return cls(_read_penalties(document["penalties"]), _read_blocks(document["blocks"]))
        except (KeyError, TypeError, AttributeError, AddressError) as error:
            raise ValueError(f"no state of an engine: {error!r}") from None


class StateKeeper(Protocol):
    """Where a state lies between two runs."""

    def save(self, state: State) -> None: ...

    def load(self) -> State | None: ...


def _read_penalties(rows: Iterable[Mapping[str, Any]]) -> tuple[KeptPenalty, ...]:
    kept = []
    for row in rows:
        network = render_network(*pack_network(row["network"]))
        kept.append(KeptPenalty(network, _read_time(row["until"]), Reason(row["reason"]), _read_text(row["rule_id"])))
    if len(kept) > MAX_PENALTIES:
        raise ValueError(f"{len(kept)} penalties, more than {MAX_PENALTIES}")
    return tuple(kept)


def _read_blocks(rows: Iterable[Mapping[str, Any]]) -> tuple[KeptBlock, ...]:
    return tuple(
        KeptBlock(
            str(row["id"]),
            tuple(render_network(*pack_network(text)) for text in row["networks"]),
            str(row["text"]),
            _read_time(row["expires_at"]),
        )
        for row in rows
    )


def _read_time(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no time")
    return float(value)


def _read_text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value
