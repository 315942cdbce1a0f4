# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of the errors that an operator reads."""

from __future__ import annotations


class OperatorError(Exception):
    """An error that the operator can fix. The text has one fact per line; ``exit_code`` is the program's."""

    def __init__(self, text: str, *, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def describe_os_error(error: OSError) -> str:
    """Returns file name and error text, without the error number."""
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text
