# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast calls into the native core, which bypass cffi: ``native/binding/fast_calls.c``.

They are a second extension module in cffi's shared library, so both see one set of readers and policies. Such a module
is loaded by the path of its library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Protocol, cast

from sentry_engine import _core
from sentry_engine.addresses import Source
from sentry_engine.verdict import ACTIONS, INVALID, REASONS, Action, Reason, Verdict

NAME = "sentry_engine._fast_calls"


class FastCalls(Protocol):
    """Bound to one core. Verdicts without ``retry_after`` are cached until ``forget`` or ``use_names``."""

    def answer(self, source: Source, event: int, now: float, verified: bool = True, /) -> Verdict: ...

    def answer_many(
        self, sources: tuple[Source, ...], event: int, now: float, verified: bool, /
    ) -> Sequence[Verdict]: ...

    def count(self) -> None:
        """Count the hit of the verdict that ``answer`` gave last, which is counted late."""

    def forget(self) -> None: ...

    def use_names(self, generation: int, names: Sequence[str], /) -> None:
        """The rule ids of the policy with that generation (modulo 65536), which is in force."""

    def close(self) -> None:
        """Call before the core is closed. Every later call raises ``RuntimeError``."""


def open_fast_calls(
    core_address: int, read: Callable[[int, float], Verdict], add_hit: Callable[[int, int], None]
) -> FastCalls:
    """``read(word, retry_after)`` makes the verdict of a block, a penalty's rule, or a policy that was replaced.

    ``add_hit(generation, rule)`` counts a hit of a policy that was replaced meanwhile. It must not take a lock.
    """
    return _module.FastCalls(core_address, read, INVALID, ACTIONS, REASONS, add_hit)


class FastCallsModule(Protocol):
    """The second module of the library."""

    Verdicts: type

    def FastCalls(  # noqa: N802
        self,
        core: int,
        read: Callable[[int, float], Verdict],
        invalid: Verdict,
        actions: tuple[Action, ...],
        reasons: tuple[Reason, ...],
        add_hit: Callable[[int, int], None],
        /,
    ) -> FastCalls: ...


def _load() -> FastCallsModule:
    spec = spec_from_loader(NAME, ExtensionFileLoader(NAME, _core.__file__))
    if spec is None:
        raise ImportError(f"{_core.__file__} holds no module {NAME}")
    module = module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(module)
    return cast("FastCallsModule", module)


_module = _load()
Sequence.register(_module.Verdicts)
