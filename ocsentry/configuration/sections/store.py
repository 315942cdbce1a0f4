# SPDX-License-Identifier: GPL-3.0-or-later
"""``[store]``: the database, and how long its rows are kept."""

from __future__ import annotations

from typing import Self

from pydantic import SecretStr, model_validator

from ocsentry.configuration.fields import Section, field, section
from ocsentry.configuration.sections.retention import RetentionSection


class StoreSection(Section):
    url: SecretStr = field(
        "sqlite:///ocsentry.db",
        "Database of users, tokens, blocks and sessions: `sqlite:///FILE` or `postgresql+psycopg://…`.",
    )
    retention: RetentionSection = section()

    @model_validator(mode="after")
    def _scheme_is_known(self) -> Self:
        if not self.url.get_secret_value().startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("url: begin with sqlite:/// or postgresql+psycopg://")
        return self
