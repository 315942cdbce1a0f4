# SPDX-License-Identifier: GPL-3.0-or-later
"""The bulk methods of a core written in Python: each calls ``decide`` in a loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence

from sentry_engine.addresses import AddressError, Source, pack_source
from sentry_engine.cores.interface import Request
from sentry_engine.verdict import INVALID, Verdict, write_word


class BulkDecisions(ABC):
    """The methods of ``interface.Core`` that follow from ``decide``."""

    @abstractmethod
    def decide(self, request: Request) -> Verdict:
        """Decide, and count the event."""

    def decide_many(self, requests: Sequence[Request]) -> list[Verdict]:
        return [self.decide(request) for request in requests]

    def answer(self, source: Source, event: int, now: float, verified: bool = True, /) -> Verdict:
        try:
            packed = pack_source(source)
        except AddressError:
            return INVALID
        return self.decide(Request(packed, event, now, verified=verified))

    def answer_many(
        self, sources: Sequence[Source], event: int, now: float, *, verified: bool = True
    ) -> Sequence[Verdict]:
        return [self.answer(source, event, now, verified) for source in sources]

    def answer_words(self, addresses: bytes, event: int, now: float, *, verified: bool = True) -> array[int]:
        each = [addresses[at : at + 16] for at in range(0, len(addresses), 16)]
        verdicts = self.answer_many(each, event, now, verified=verified)
        return array("Q", [write_word(verdict.action, verdict.reason) for verdict in verdicts])
