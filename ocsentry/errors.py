# SPDX-License-Identifier: GPL-3.0-or-later
"""The one root of what goes wrong for the operator: its text is what the operator reads."""

from __future__ import annotations


class OperatorError(Exception):
    """Something that the operator can mend. One fact per line; ``exit_code`` is the program's."""

    def __init__(self, text: str, *, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def describe_os_error(error: OSError) -> str:
    """What the system said, and of which file, without the error's number."""
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text
