# SPDX-License-Identifier: GPL-3.0-or-later
"""The docs are correct: examples load, commands and keys exist, links have targets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ocsentry.cli.app import build_app
from ocsentry.configuration.model import load_config
from sentry_engine import Policy, find_policy_issues, run_rule_tests

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")  # a file or folder of the project, in a page for developers


def page_name(page):
    return str(page.relative_to(ROOT))


DEVELOPER_PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "docs" / "architecture.md"]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


LISTING = [group for group in build_app().registered_groups if group.typer_instance.info.invoke_without_command is True]


def commands():
    """Yields the words of every command."""
    app = build_app()
    for command in app.registered_commands:
        if not command.hidden:
            yield (command.name,)
    for group in app.registered_groups:
        if group.hidden is True:
            continue  # the other number of a noun, as of hidden commands
        yield (group.name,)
        typer = group.typer_instance
        for command in (*typer.registered_commands, *typer.registered_groups):
            yield group.name, command.name


def test_the_rule_file_in_the_docs_passes_its_tests():
    (example,) = blocks(ROOT / "docs" / "policy.md", "json")
    policy = Policy.from_document(json.loads(example))
    assert run_rule_tests(policy) == []
    assert find_policy_issues(policy) == []


def test_the_starter_rules_pass_their_tests():
    policy = Policy.load(ROOT / "ocsentry" / "starter" / "rules")
    assert len(policy.rule_tests) == 5
    assert run_rule_tests(policy) == []
    assert find_policy_issues(policy) == []


def test_the_shipped_rule_files_pass_their_tests_together():
    policy = Policy.load(ROOT / "rules")
    assert {example.origin.file for example in policy.rule_tests} == {str(file) for file in policy.files}
    assert run_rule_tests(policy) == []
    assert find_policy_issues(policy) == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_command_that_a_page_shows_exists(page):
    known = set(commands())
    groups = {words[0] for words in known if len(words) > 1} - {"sessions"}
    shown = re.findall(r"ocsentry ([a-z]+)(?: ([a-z|]+))?", page.read_text())
    for first, second in shown:
        if (first,) not in known:
            continue  # a sentence about ocsentry, not a command
        for word in second.split("|") if first in groups and second else ():
            assert (first, word) in known, f"ocsentry {first} {word}"


COOKBOOK = ROOT / "docs" / "cookbook.md"


@pytest.mark.parametrize("page", [COOKBOOK, ROOT / "docs" / "first-hour.md"], ids=page_name)
def test_every_snippet_of_a_configuration_is_one(page, tmp_path):
    shown = blocks(page, "toml")
    assert shown
    for text in shown:
        (tmp_path / "ocsentry.toml").write_text(text)
        load_config(tmp_path / "ocsentry.toml")


def test_every_rule_of_the_cookbook_is_one():
    shown = blocks(COOKBOOK, "json")
    assert shown
    for text in shown:
        issues = find_policy_issues(Policy.from_document(json.loads(text)))
        assert {issue.kind.value for issue in issues} <= {"no_database"}  # which the operator has to get


def test_the_site_has_every_page_once():
    """`make docs` shows what zensical.toml lists."""
    listed = re.findall(r'"([\w/-]+\.md)"', (ROOT / "contrib" / "docs" / "zensical.toml").read_text())
    assert sorted(listed) == sorted(
        ["index.md", *(str(page.relative_to(ROOT / "docs")) for page in PAGES if ROOT / "docs" in page.parents)]
    )


def test_every_command_is_shown_on_some_page():
    text = "\n".join(page.read_text() for page in PAGES)
    shown = set()
    for first, second in re.findall(r"ocsentry ([a-z]+)(?: ([a-z|]+))?", text):
        shown |= {(first,)} | {(first, word) for word in second.split("|")}
    shown |= {(group.name, "list") for group in LISTING if (group.name,) in shown}
    assert set(commands()) - shown == set()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_key_that_a_page_names_exists(page):
    reference = (ROOT / "docs" / "configuration.md").read_text()
    known = set()
    for section, rows in re.findall(r"^## `\[+([a-z._]+)\]+`\n(.*?)(?=^##|^<!--)", reference, re.DOTALL | re.MULTILINE):
        known |= {section, *(f"{section}.{key}" for key in re.findall(r"^\| `(\w+)`", rows, re.MULTILINE))}
    assert "vpn.offloads" in known
    named = set(re.findall(r"`((?:vpn|auth|policy|admin|store|log|process)(?:\.[a-z0-9_]+)+)", page.read_text()))
    assert named - known == set()


def test_the_docs_list_exactly_the_existing_counters():
    header = (ROOT / "vpn_frontend" / "native" / "runtime" / "stats.h").read_text()
    counters = set(re.findall(r"^    X\((\w+)\)", header, re.MULTILINE))
    about_dtls = (ROOT / "docs" / "dtls.md").read_text().partition("## Counters")[2]
    named = {name for name in re.findall(r"`([a-z_]+)`", about_dtls) if name != "ocsentry_gateway"}
    assert named - counters == set()
    assert {name for name in counters if name.startswith("dtls_")} - named == set()
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"`((?:[rt]x|links|handshakes|accept)_[a-z_]+)`", operations)) - counters == set()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_have_targets(page):
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", DEVELOPER_PAGES, ids=page_name)
def test_every_path_that_a_page_for_developers_names_exists(page):
    tops = {path.name for path in ROOT.iterdir()} - {".build"}  # what make writes
    named = [name for name in PATH.findall(page.read_text()) if name.split("/")[0] in tops]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_test_that_a_page_names_exists(page):
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert re.search(rf"def {name}\(", (ROOT / file).read_text()), f"{file}::{name}"


@pytest.mark.parametrize("file", ["Makefile", "tests/native/sanitized.sh", "tests/fuzz/run.sh", ".ci/run"])
def test_every_test_that_a_script_names_exists(file):
    named = re.findall(r"(?<![\w/.])(?:tests|bench|requirements)/[\w/]+\.[a-z]+", (ROOT / file).read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_architecture_names_every_folder_of_the_packages():
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [
        f"{path.parent.relative_to(ROOT)}/"
        for package in ("sentry_engine", "vpn_frontend", "ocsentry")
        for path in (ROOT / package).glob("*/__init__.py")
        if path.parent.name != "testing"
    ]
    assert [room for room in rooms if f"`{room}`" not in text] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=page_name)
def test_every_page_is_listed(page):
    """The README lists the pages of docs/, and docs/NAME.md those of docs/NAME/."""
    below_docs = page.parent not in (ROOT, ROOT / "docs")
    listing = page.parent.with_suffix(".md") if below_docs else ROOT / "README.md"
    assert f"]({page.relative_to(listing.parent)})" in listing.read_text()


def test_the_unit_runs_an_existing_command():
    unit = (ROOT / "ocsentry" / "starter" / "ocsentry.service").read_text()
    lines = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    assert lines["ExecStart"].split()[1] == "serve"
    assert lines["Type"] == "notify"
    assert lines["NoNewPrivileges"] == "yes"


def test_each_promise_of_a_fleet_names_tests_that_exist():
    page = (ROOT / "docs" / "fleet.md").read_text()
    tables = page[page.index("## Promises") : page.index("## A site, step by step")]
    rows = [line for line in tables.splitlines() if line.startswith("| ") and "shown by" not in line]
    assert len(rows) > 40
    known = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert [row for row in rows if not re.search(r"`test_\w+` \|$", row)] == []
    assert {name for row in rows for name in re.findall(r"`(test_\w+)`", row)} - known == set()
