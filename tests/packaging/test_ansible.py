# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible role writes what `init` writes, and its files agree. `make package-test` runs it."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from ocsentry.configuration.model import load_config
from ocsentry.setup.client_traffic import POOLS, ClientTraffic
from ocsentry.setup.init import init_server
from ocsentry.setup.layout import Layout

ROLE = Path(__file__).parents[2] / "contrib" / "ansible" / "roles" / "ocsentry"


def load_filter():
    spec = importlib.util.spec_from_file_location("role_filter", ROLE / "filter_plugins" / "ocsentry.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FilterModule().filters()["ocsentry_toml"]


def read(name):
    return yaml.safe_load((ROLE / name).read_text())


def filled(value, variables):
    """``value`` with its templates rendered, as Ansible does."""
    if isinstance(value, dict):
        return {key: filled(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, variables) for one in value]
    return NativeEnvironment().from_string(value).render(variables) if "{{" in str(value) else value


DOCUMENTS = [
    {"a": {"text": 'quote " back\\slash \x7f é', "n": 3, "on": True, "list": ["x", 1.5], "empty": [], "gone": None}},
    {"one": 1, "a": {"b": {"c": [{"name": "x", "in": {"y": 2}}, {"name": "z"}], "d": 1}, "key.with dots": ["q"]}},
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=["values", "tables"])
def test_what_is_written_is_read_as_it_was(document):
    present = {key: value for key, value in document["a"].items() if value is not None}
    assert tomllib.loads(load_filter()(document)) == {**document, "a": present}


def test_what_toml_has_no_form_for_is_refused():
    with pytest.raises(TypeError, match="no form for"):
        load_filter()({"a": object()})


def test_without_variables_the_role_writes_what_init_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("ocsentry.setup.init.ipv6_is_off", lambda _: False)
    layout = Layout(tmp_path / "made", tmp_path / "state", tmp_path / "runtime")
    init_server(layout, traffic=ClientTraffic())
    variables = {**read("defaults/main.yml"), **read("vars/main.yml"), "ocsentry__folder": str(layout.folder)}
    assert variables["ocsentry__pools"] == list(POOLS)
    text = load_filter()(filled(variables["ocsentry__base"], variables))
    text = text.replace("/var/lib/ocsentry", str(layout.state)).replace("/run/ocsentry", str(layout.runtime))
    (tmp_path / "written").mkdir()
    (tmp_path / "written" / "ocsentry.toml").write_text(text)
    written, made = (load_config(tmp_path / name / "ocsentry.toml").values for name in ("written", "made"))
    assert written.model_dump() == made.model_dump()


def test_every_variable_is_declared_has_a_default_and_is_used():
    declared = read("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = read("defaults/main.yml")
    assert {name for name, option in declared.items() if not option.get("required")} == set(defaults)
    assert {name: option["default"] for name, option in declared.items() if "default" in option} == defaults
    tasks = "".join(path.read_text() for folder in ("tasks", "vars", "handlers") for path in (ROLE / folder).iterdir())
    used = set(re.findall(r"\bocsentry_(?!_)\w+", tasks)) - {"ocsentry_toml"}
    assert used == set(declared)


def test_secrets_are_not_logged():
    for name in ("tasks/main.yml", "tasks/configure.yml", "tasks/users.yml"):
        for task in read(name):
            text = str(task)
            if "password" in text or "'init'" in text or "private_key }}" in text:
                assert task.get("no_log") is True, task["name"]
