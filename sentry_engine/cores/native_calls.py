# SPDX-License-Identifier: GPL-3.0-or-later
"""The binding through which questions reach the native core: ``native/binding/asker.c``.

It is a second module in the library that cffi's lies in, so that both speak of one set of readers and policies; such a
module is loaded by the path of its library.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any, Protocol

from sentry_engine import _core
from sentry_engine.addresses import Source
from sentry_engine.verdict import INVALID, Verdict

NAME = "sentry_engine._ask"


class Asker(Protocol):
    """Made for one core. Answers that have no ``retry_after`` are kept until ``forget``."""

    def answer(self, source: Source, event: int, now: float, verified: bool = True, /) -> Verdict: ...

    def answer_many(self, sources: tuple[Source, ...], event: int, now: float, verified: bool, /) -> list[Verdict]: ...

    def forget(self) -> None: ...

    def close(self) -> None:
        """Before the core is closed; every question from then on raises ``RuntimeError``."""


def open_asker(core_address: int, read: Callable[[int, float], Verdict]) -> Asker:
    """``read`` makes the verdict of an answer's word that is not kept; the second argument is its ``retry_after``."""
    asker: Asker = _module.Asker(core_address, read, INVALID)
    return asker


def _load() -> Any:  # noqa: ANN401  # a module written in C
    spec = spec_from_loader(NAME, ExtensionFileLoader(NAME, _core.__file__))
    if spec is None:
        raise ImportError(f"{_core.__file__} holds no module {NAME}")
    module = module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(module)
    return module


_module = _load()
