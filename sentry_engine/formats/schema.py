# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON schema of rule files, generated from the models."""

from __future__ import annotations

from typing import Any

from sentry_engine.formats.document_model import RuleDocument

TITLE = "ocsentry rule file"


def rule_file_schema() -> dict[str, Any]:
    """JSON Schema 2020-12."""
    schema = RuleDocument.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": TITLE}
