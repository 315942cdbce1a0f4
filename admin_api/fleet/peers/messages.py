# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes say to each other, and which of it is refused.

A message names its sender, the sender's epoch and a serial that rises within the epoch. It is refused if the sender is
not the one of the certificate, is no node of the fleet, has joined again since (its epoch is old), or if the message
was taken before.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["let_go", "evict", "contest"]
KNOWN_SERIALS = 1024  # of each sender: messages overtake each other by less


class Message(BaseModel):
    """An order for one session of the node that gets it."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)  # a newer version may say more

    sender: str = Field(max_length=63)
    epoch: int = Field(ge=1)
    serial: int = Field(ge=1)
    kind: Kind
    session: str = Field(pattern=r"^(?:[0-9a-f]{16}|[0-9a-f]{32})$")
    generation: int = Field(ge=0)


class Refusal(StrEnum):
    """Why a message, or a connection, is not taken."""

    CERTIFICATE = "certificate"  # none, one of another fleet, or one of another node
    MALFORMED = "malformed"
    UNKNOWN_NODE = "unknown_node"
    OLD_EPOCH = "old_epoch"  # the sender has joined again since
    REPEATED = "repeated"  # the message was taken before


class Reply(BaseModel):
    """``done``: the session is closed here, and its counters are written. ``refusal``: nothing was done."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    done: bool = False
    refusal: str = ""


@dataclass(slots=True)
class _Heard:
    epoch: int
    newest: int
    serials: set[int]


class Gate:
    """Remembers what each sender has said in its present epoch."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}

    def refusal(self, message: Message, certificate: str, known: Mapping[str, int]) -> Refusal | None:
        """Returns why the message is refused; ``None``: it is taken, once.

        ``certificate``: the node that the connection's is of. ``known``: the epoch of each node, as the database said.
        A newer epoch than that is taken: the node has joined since. A restored database may have taken one back.
        """
        if message.sender != certificate:
            return Refusal.CERTIFICATE
        if message.sender not in known:
            return Refusal.UNKNOWN_NODE
        if message.epoch < known[message.sender]:
            return Refusal.OLD_EPOCH
        heard = self._heard.get(message.sender)
        if heard is None or heard.epoch != message.epoch:
            self._heard = {name: one for name, one in self._heard.items() if name in known}
            heard = self._heard[message.sender] = _Heard(message.epoch, 0, set())
        if message.serial <= heard.newest - KNOWN_SERIALS or message.serial in heard.serials:
            return Refusal.REPEATED
        heard.serials.add(message.serial)
        if message.serial > heard.newest:
            heard.newest = message.serial
            if len(heard.serials) > 2 * KNOWN_SERIALS:
                heard.serials = {one for one in heard.serials if one > heard.newest - KNOWN_SERIALS}
        return None
