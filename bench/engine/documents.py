# SPDX-License-Identifier: GPL-3.0-or-later
"""The cost of a reload: from rule files to a policy in force."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from bench.engine.figures import Figure
from bench.engine.policies import draw_prefixes
from sentry_engine import Engine, Policy
from sentry_engine.addresses import render_network
from sentry_engine.policy.rule_files import SETTLED, RuleFiles

NOTHING = {"wolfsentry": {"version": "1"}}
ONE_MORE = {
    "wolfsentry": {"version": "1", "rules": [{"id": "made", "type": "blacklist", "remote_addr": "198.51.100.7"}]}
}


def write_files(size: int, folder: Path) -> dict[str, Path]:
    """Writes the same prefixes in three forms; returns the path of each."""
    texts = [render_network(network.to_bytes(16), length) for network, length in draw_prefixes(4, size).rows]
    each = [{"id": f"rule-{at}", "type": "blacklist", "remote_addr": text} for at, text in enumerate(texts)]
    whole = [{"id": "drawn", "type": "blacklist", "remote_addr": texts}]
    forms = {
        "JSON, a rule for each": ("each.json", json.dumps({"wolfsentry": {"version": "1", "rules": each}})),
        "JSON, one rule": ("one.json", json.dumps({"wolfsentry": {"version": "1", "rules": whole}})),
        "a plain list": ("drawn.list", "\n".join(texts)),
    }
    for name, text in forms.values():
        (folder / name).write_text(text)
    return {form: folder / name for form, (name, _) in forms.items()}


def measure_documents(size: int, folder: Path) -> Iterator[Figure]:
    for form, path in write_files(size, folder).items():
        files = RuleFiles(lambda: time.time() + 2 * SETTLED)
        with Engine(Policy.from_document(NOTHING)) as engine:
            began = time.perf_counter()
            policy = Policy.load(path, read=files.read)
            read = time.perf_counter()
            engine.swap(policy)
            done = time.perf_counter()
            engine.swap(Policy.load(path, documents={"made": ONE_MORE}, read=files.read))
            again = time.perf_counter()
        path.unlink()
        yield Figure(f"read: {form}", size, "ocsentry", read - began, "s")
        yield Figure(f"read, compiled and in force: {form}", size, "ocsentry", done - began, "s")
        yield Figure(f"one more rule beside the file, in force: {form}", size, "ocsentry", again - done, "s")
