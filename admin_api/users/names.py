# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names users may have, for the API, imports and ocserv's files. Without the API, because tools import it."""

from __future__ import annotations

import re

NAME = re.compile(r"(?![\s-])[^:\x00-\x1f\x7f-\x9f\u2028\u2029]+(?<!\s)")  # a colon ends a name in ocserv's files
MAX_NAME = 64  # characters
DOT_SEGMENTS = (".", "..")  # clients resolve them in a URL's path


def check_name(value: str) -> str:
    """Directories and ocserv's files have names such as ``DOMAIN\\bob``, with blanks, or with a dot first."""
    if not NAME.fullmatch(value) or value in DOT_SEGMENTS:
        raise ValueError(
            "a name has no colon, no control characters, no blanks at its ends, no hyphen first, and is not . or .."
        )
    return value
