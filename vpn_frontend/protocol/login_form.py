# SPDX-License-Identifier: GPL-3.0-or-later
"""Login forms as values: what a form asks for, independent of how it is spelled on the wire.

Clients rename and prefill inputs by name. openconnect fills a one-time code into ``secondary_password`` and sends the
fields ``answer`` and ``whichpin`` back as ``password``. So a name is part of the contract with the client.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

USERNAME = "username"
PASSWORD = "password"  # noqa: S105 - the name of a field
CODE = "secondary_password"
BROWSER_TOKEN = "sso-token"  # noqa: S105 - the name of a field
GROUP = "group_list"
PROMPT = "Please enter your username and password."


GroupLabels = tuple[tuple[str, str], ...]  # names of groups, each with the text that clients show


class FieldKind(StrEnum):
    """How a client shows the field. Values are those of the ``type`` attribute, except ``select``."""

    TEXT = "text"
    PASSWORD = "password"  # noqa: S105 - the kind of a field
    SELECT = "select"
    HIDDEN = "hidden"
    BROWSER = "sso"  # the client fills it in with what its browser brings back


@dataclass(frozen=True, slots=True)
class Field:
    """One input. ``value`` is the preset of an input or the selected option of a select."""

    name: str
    kind: FieldKind = FieldKind.TEXT
    label: str = ""
    value: str = ""
    options: tuple[str, ...] = ()  # of a select
    labels: GroupLabels = ()  # texts of options that are not shown as they are


@dataclass(frozen=True, slots=True)
class BrowserRequest:
    """A login in the user's browser, by the absolute URLs where it begins and ends.

    ``external``: the system's browser. Otherwise the client's own one, which stops at ``final_url`` and takes a cookie.
    """

    login_url: str
    final_url: str
    external: bool


@dataclass(frozen=True, slots=True)
class Form:
    """One question to the user. ``error`` says why it is asked again. Without fields a client shows it and stops."""

    fields: tuple[Field, ...]
    message: str = ""
    error: str = ""
    title: str = "Login"
    id: str = "main"
    browser: BrowserRequest | None = None
    banner: str = ""  # shown above the message

    def asks_for(self, name: str) -> bool:
        """True if the form has a field of that name."""
        return any(field.name == name for field in self.fields)


def first_form(
    *,
    groups: Sequence[str] = (),
    labels: GroupLabels = (),
    selected: str = "",
    error: str = "",
    code: bool = False,
    banner: str = "",
) -> Form:
    """The form that begins a login: a group where there are groups, user name, password, and a code if ``code``.

    The selected group is the first option, because AnyConnect shows the first one.
    """
    fields = _credentials_and_code if code else _credentials
    asked = (_group_select(groups, labels, selected), *fields) if groups else fields
    return Form(asked, PROMPT, error, banner=banner)


def _group_select(groups: Sequence[str], labels: GroupLabels, selected: str) -> Field:
    first = selected if selected in groups else groups[0]
    options = (first, *(group for group in groups if group != first))
    return Field(GROUP, FieldKind.SELECT, "GROUP:", first, options, labels)


_credentials = (
    Field(USERNAME, FieldKind.TEXT, "Username:"),
    Field(PASSWORD, FieldKind.PASSWORD, "Password:"),
)
_credentials_and_code = (*_credentials, Field(CODE, FieldKind.PASSWORD, "Code:"))
