# SPDX-License-Identifier: GPL-3.0-or-later
"""What Python says about the native core, against the compiled module: the stub, the structures, the shared numbers."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import sentry_engine
from sentry_engine import addresses, verdict
from sentry_engine.cores import plan
from sentry_engine.cores.native import core as native_core
from sentry_engine.cores.native import library as native_library
from sentry_engine.cores.native import types as native_types
from sentry_engine.cores.native.library import ffi, lib
from sentry_engine.cores.reference import core as reference
from sentry_engine.verdict import ACTIONS, FIRST_CUSTOM_EVENT, NO_RULE, REASONS, Event

STUB = Path(sentry_engine.__file__).with_name("_core.pyi")
UNUSED = {"reserved", "unit_shift", "window_units"}  # fields that only C reads
STRUCTS = {
    made.__doc__.strip("`"): made
    for made in vars(native_types).values()
    if inspect.isclass(made) and (made.__doc__ or "").startswith("``struct") and not made.__doc__.endswith("*``")
}
KINDS = {"int": "int", "float": "float", "Bytes": "array", "Bytes | bytes": "array"}


def stub_class(name: str) -> ast.ClassDef:
    tree = ast.parse(STUB.read_text())
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def stub_functions() -> dict[str, int]:
    """Functions of ``lib`` in the stub, and the number of their arguments without ``self``."""
    found = [node for node in stub_class("_Lib").body if isinstance(node, ast.FunctionDef)]
    return {node.name: len(node.args.posonlyargs + node.args.args) - 1 for node in found}


def enumerators(name: str, prefix: str) -> dict[int, str]:
    return {number: text.removeprefix(prefix) for number, text in ffi.typeof(f"enum {name}").elements.items()}


def test_the_stub_has_the_functions_of_the_module():
    made = {name: len(ffi.typeof(getattr(lib, name)).args) for name in dir(lib) if callable(getattr(lib, name))}
    assert stub_functions() == made


def test_the_stub_has_no_constant_that_the_module_has_not():
    named = {node.target.id for node in stub_class("_Lib").body if isinstance(node, ast.AnnAssign)}
    assert named <= set(dir(lib))
    assert all(isinstance(getattr(lib, name), int) for name in named)


@pytest.mark.parametrize("name", STRUCTS)
def test_a_structure_has_the_fields_of_the_module(name):
    fields = dict(ffi.typeof(name).fields)
    described = STRUCTS[name].__annotations__
    assert described.keys() == fields.keys() - UNUSED
    for field, kind in described.items():
        type_in_c = fields[field].type
        if type_in_c.kind == "primitive":
            assert kind == ("float" if type_in_c.cname == "double" else "int"), field
        if kind in KINDS and KINDS[kind] == "array":
            assert type_in_c.length == 16, field


def test_every_structure_is_compared():
    assert len(STRUCTS) == 13


def test_reasons_are_numbered_alike():
    assert enumerators("se_reason", "SE_REASON_") == {at: reason.name for at, reason in enumerate(REASONS)}
    assert len(REASONS) == lib.SE_REASONS


def test_actions_are_numbered_alike():
    assert enumerators("se_action", "SE_") == {at: action.name for at, action in enumerate(ACTIONS)}
    assert verdict.read_word(lib.SE_REJECT | lib.SE_REASON_RULE << 8) == (ACTIONS[1], REASONS[2])


def test_events_are_numbered_alike():
    events = enumerators("se_event", "SE_EVENT_")
    assert events.pop(FIRST_CUSTOM_EVENT) == "CUSTOM"
    assert events == {int(event): event.name for event in Event}


def test_tiers_and_steps_are_as_many():
    assert len(plan.Tier) == lib.SE_TIERS
    assert plan.Tier(lib.SE_LIMITS_TIER).name == "LIMITS"
    assert len(native_core.STEPS) == lib.SE_STEPS


def test_limits_are_alike():
    assert lib.SE_NO_RULE == NO_RULE
    assert plan.INFORMS == lib.SE_INFORMS
    assert addresses.MAX_TEXT == lib.SE_MAX_ADDRESS_TEXT
    assert reference.MAX_WINDOW * 1_000_000_000 == lib.SE_MAX_WINDOW
    assert native_library.CORE_ABI == lib.SE_CORE_ABI
    assert lib.SE_FOREVER == (1 << 64) - 1
    assert native_core.BURSTS_AT_A_TIME >= lib.SE_MIN_BURST_ROOM
