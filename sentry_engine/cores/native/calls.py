# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast calls into the native core, which bypass cffi: ``native/binding/fast_calls.c``.

They are a second extension module in cffi's shared library, so both see one set of readers and policies. Such a module
is loaded by the path of its library.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Protocol, cast

from sentry_engine import _core
from sentry_engine.addresses import Source
from sentry_engine.verdict import INVALID, Verdict

NAME = "sentry_engine._fast_calls"


class FastCalls(Protocol):
    """Bound to one core. Verdicts without ``retry_after`` are cached until ``forget``."""

    def answer(self, source: Source, event: int, now: float, verified: bool = True, /) -> Verdict: ...

    def answer_many(self, sources: tuple[Source, ...], event: int, now: float, verified: bool, /) -> list[Verdict]: ...

    def forget(self) -> None: ...

    def close(self) -> None:
        """Call before the core is closed. Every later call raises ``RuntimeError``."""


def open_fast_calls(core_address: int, read: Callable[[int, float], Verdict]) -> FastCalls:
    """``read(word, retry_after)`` makes the verdict of an answer that is not cached."""
    return _module.FastCalls(core_address, read, INVALID)


class FastCallsModule(Protocol):
    """The second module of the library."""

    def FastCalls(self, core: int, read: Callable[[int, float], Verdict], invalid: Verdict, /) -> FastCalls: ...  # noqa: N802


def _load() -> FastCallsModule:
    spec = spec_from_loader(NAME, ExtensionFileLoader(NAME, _core.__file__))
    if spec is None:
        raise ImportError(f"{_core.__file__} holds no module {NAME}")
    module = module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(module)
    return cast("FastCallsModule", module)


_module = _load()
