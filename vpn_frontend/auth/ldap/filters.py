# SPDX-License-Identifier: GPL-3.0-or-later
"""Search filters with placeholders, and names read from distinguished names. Pure.

``%u`` stands for the user name, ``%d`` for the user's DN, ``%%`` for a percent sign. A value is escaped as RFC 4515
section 3 asks, so that it is always one assertion value and never a part of the filter.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sansldap import FilterAnd, FilterEquality, FilterExtensibleMatch, FilterOr, LDAPFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

IN_CHAIN = "1.2.840.113556.1.4.1941"  # LDAP_MATCHING_RULE_IN_CHAIN: follows nested groups on Active Directory
MAX_DEPTH = 16  # of a filter in the configuration
_PLACEHOLDER = re.compile(r"%(.?)", re.DOTALL)
_SPECIAL = re.compile(r"[\\*()\x00-\x1f\x7f]")
_SAMPLE = "sample"


def escape_value(text: str) -> str:
    """``text`` as an assertion value of a filter."""
    return _SPECIAL.sub(lambda found: f"\\{ord(found[0]):02x}", text)


def fill_filter(template: str, *, user: str, dn: str = "") -> LDAPFilter:
    """The filter with its placeholders filled in. Raises ``ValueError`` with a text for the operator."""
    values = {"u": escape_value(user), "d": escape_value(dn), "%": "%"}

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise ValueError(
                f"{found[0]} is no placeholder: write %u for the user name, %d for its DN, %% for a percent sign"
            )
        return values[found[1]]

    text = _PLACEHOLDER.sub(value, template)
    if text.count("(") > MAX_DEPTH * 4:
        raise ValueError("the filter is too long")
    return LDAPFilter.from_string(text)


def check_filter(template: str, placeholders: Sequence[str]) -> None:
    """Raises ``ValueError`` unless ``template`` is a filter that contains one of ``placeholders``."""
    if not any(placeholder in template.replace("%%", "") for placeholder in placeholders):
        raise ValueError(f"the filter does not contain {' or '.join(placeholders)}")
    fill_filter(template, user=_SAMPLE, dn=_SAMPLE)


def name_attribute(template: str) -> str:
    """The first attribute that is compared with exactly ``%u``; empty: there is none."""
    marker = "\x01"
    for part in _equalities(fill_filter(template, user=marker)):
        if part.value == marker.encode():
            return part.attribute
    return ""


def follow_chain(wanted: LDAPFilter, dn: str) -> LDAPFilter:
    """``wanted`` with each comparison with ``dn`` made transitive, as Active Directory does it."""
    if isinstance(wanted, FilterEquality) and wanted.value == dn.encode():
        return FilterExtensibleMatch(rule=IN_CHAIN, attribute=wanted.attribute, value=wanted.value, dn_attributes=False)
    if isinstance(wanted, FilterAnd | FilterOr):
        return replace(wanted, filters=[follow_chain(part, dn) for part in wanted.filters])
    return wanted


def member_attribute(template: str) -> str:
    """The first attribute that is compared with exactly ``%d``; empty: groups of this filter do not nest."""
    marker = "\x01"
    for part in _equalities(fill_filter(template, user="", dn=marker)):
        if part.value == marker.encode():
            return part.attribute
    return ""


def _equalities(wanted: LDAPFilter) -> list[FilterEquality]:
    if isinstance(wanted, FilterEquality):
        return [wanted]
    if isinstance(wanted, FilterAnd | FilterOr):
        return [found for part in wanted.filters for found in _equalities(part)]
    return []
