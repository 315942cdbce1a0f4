# SPDX-License-Identifier: GPL-3.0-or-later
"""``[store.retention]``: how long rows are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from admin_api.retention import RetentionTimes
from ocsentry.configuration.durations import read_duration
from ocsentry.configuration.fields import Section, field


def _check(text: str) -> str:
    if text:
        read_duration(text)
    return text


RetentionText = Annotated[str, AfterValidator(_check)]


class RetentionSection(Section):
    sessions: RetentionText = field("400d", "How long records of ended sessions are kept. Empty: without end.")
    audit: RetentionText = field(
        "400d", "How long audit rows are kept. What is left can still be verified. Empty: without end."
    )
    decisions: RetentionText = field(
        "7d",
        "How long verdicts are listed; they are in memory, and lost at a restart. Empty: no limit of time.",
    )

    def times(self) -> RetentionTimes:
        return RetentionTimes(
            sessions=read_duration(self.sessions) if self.sessions else None,
            audit=read_duration(self.audit) if self.audit else None,
            decisions=read_duration(self.decisions) if self.decisions else None,
        )
