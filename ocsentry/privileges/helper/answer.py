# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verb of the helper returns or raises."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from ocsentry.privileges.helper.protocol import Document


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The arguments are outside the scope."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``descriptors`` belong to the answer, and are closed once it is sent."""

    fields: Document = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
