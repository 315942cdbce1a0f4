# SPDX-License-Identifier: GPL-3.0-or-later
"""Formats of imported and exported blocks. The command line imports this: it loads nothing else."""

from enum import StrEnum


class LineFormat(StrEnum):
    TEXT = "text"
    CSV = "csv"
    NDJSON = "ndjson"


MEDIA_TYPES = {
    LineFormat.TEXT: "text/plain",
    LineFormat.CSV: "text/csv",
    LineFormat.NDJSON: "application/x-ndjson",
}
