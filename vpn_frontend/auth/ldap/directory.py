# SPDX-License-Identifier: GPL-3.0-or-later
"""A login in an LDAP directory: find the one entry of the user, bind as it, then read its groups.

An unknown user costs what a wrong password costs: a bind is sent in both cases.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sansldap import FilterOr, FilterPresent, SearchScope

from sentry_engine.records import dataclass
from vpn_frontend.auth.ldap.account_state import BindAccepted, judge_bind
from vpn_frontend.auth.ldap.connection import LdapError
from vpn_frontend.auth.ldap.filters import fill_filter, follow_chain, member_attribute, name_attribute
from vpn_frontend.auth.ldap.names import first_rdn_value, usable_name
from vpn_frontend.auth.result import WRONG, Refused

if TYPE_CHECKING:
    from sansldap import LDAPFilter

    from vpn_frontend.auth.ldap.connection import LdapConnection, Server
    from vpn_frontend.auth.ldap.responses import Entry

ACTIVE_DIRECTORY = b"1.2.840.113556.1.4.800"  # LDAP_CAP_ACTIVE_DIRECTORY_OID: has the rule IN_CHAIN
MAX_GROUPS = 1024  # of one user, nested ones too
MAX_DEPTH = 8  # of nested groups where the server has no rule for them
DNS_PER_SEARCH = 32
MEMBER_OF = "memberof"
GROUP_NAME = "cn"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. ``bind_dn`` empty: the search is anonymous. ``group_filter`` empty: groups are in ``memberOf``."""

    base: str
    filter: str
    bind_dn: str = ""
    bind_password: str = ""
    group_base: str = ""
    group_filter: str = ""

    def __repr__(self) -> str:
        return f"Query(base={self.base!r}, filter={self.filter!r})"


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A user whose password is right. ``name`` is spelled as in the directory."""

    name: str
    groups: tuple[str, ...]


class LdapDirectory:
    """The logins of one ``Query``. What servers can do is remembered by URL."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._name_attribute = name_attribute(query.filter)
        self._nests = bool(query.group_filter) and bool(member_attribute(query.group_filter))
        self._chains: dict[str, bool] = {}  # by URL: the server follows nested groups

    async def log_in(
        self, connection: LdapConnection, server: Server, name: str, password: str
    ) -> DirectoryUser | Refused:
        """Check the password of ``name``, which is not empty. Raises ``LdapError``."""
        await self._bind_service(connection)
        entry, reason = await self._find_user(connection, name)
        if entry is None:
            await self._bind_nobody(connection, password)
            return Refused(WRONG, reason)
        verdict = judge_bind(await connection.bind(entry.dn, password))
        if verdict is None:
            raise LdapError("the server cannot check passwords at the moment")
        if isinstance(verdict, Refused):
            return verdict
        return DirectoryUser(self._spelling(entry, name), await self._find_groups(connection, server, entry, name))

    async def _bind_service(self, connection: LdapConnection) -> None:
        if connection.identity == self._query.bind_dn:
            return
        verdict = judge_bind(await connection.bind(self._query.bind_dn, self._query.bind_password))
        if not isinstance(verdict, BindAccepted):
            reason = "is unavailable" if verdict is None else f"refuses auth.ldap.bind_dn ({verdict.reason})"
            raise LdapError(f"the server {reason}")
        connection.identity = self._query.bind_dn

    async def _find_user(self, connection: LdapConnection, name: str) -> tuple[Entry | None, str]:
        """The only entry of ``name``, or the reason why there is none."""
        if not usable_name(name):
            return None, "unusable_name"
        wanted = [self._name_attribute] if self._name_attribute else []
        if not self._query.group_filter:
            wanted.append(MEMBER_OF)
        found = await connection.search(self._query.base, fill_filter(self._query.filter, user=name), wanted, limit=2)
        if len(found) != 1:
            return None, "user_ambiguous" if found else "user_unknown"
        return (found[0], "") if found[0].dn else (None, "user_unknown")

    async def _bind_nobody(self, connection: LdapConnection, password: str) -> None:
        """Do what a wrong password costs."""
        if judge_bind(await connection.bind(f"cn={secrets.token_hex(8)},{self._query.base}", password)) is None:
            raise LdapError("the server cannot check passwords at the moment")

    def _spelling(self, entry: Entry, typed: str) -> str:
        """The name as the directory spells it: spellings that the directory takes for one are one user."""
        values = [usable_name(value) for value in entry.attributes.get(self._name_attribute.lower(), ())]
        same = [value for value in values if value.casefold() == typed.strip().casefold()]
        spelled = next(iter(same or values), "")
        return spelled or typed.strip().casefold()

    async def _find_groups(
        self, connection: LdapConnection, server: Server, entry: Entry, name: str
    ) -> tuple[str, ...]:
        query = self._query
        if not query.group_filter:
            return _unique([first_rdn_value(_lenient(value)) for value in entry.attributes.get(MEMBER_OF, ())])
        await self._bind_service(connection)
        wanted = fill_filter(query.group_filter, user=name, dn=entry.dn)
        if not self._nests:
            return _names(await self._search_groups(connection, wanted))
        if await self._follows_chains(connection, server):
            return _names(await self._search_groups(connection, follow_chain(wanted, entry.dn)))
        return _names(await self._walk(connection, wanted))

    async def _walk(self, connection: LdapConnection, wanted: LDAPFilter) -> list[Entry]:
        """The groups of ``wanted``, and the groups that those are members of."""
        found: dict[str, Entry] = {}
        searches = [wanted]
        for _ in range(MAX_DEPTH):
            new: dict[str, Entry] = {}
            for search in searches:
                for group in await self._search_groups(connection, search):
                    if group.dn.casefold() not in found:
                        new[group.dn.casefold()] = group
            found.update(new)
            if len(found) > MAX_GROUPS:
                raise LdapError(f"a user in more than {MAX_GROUPS} groups")
            if not new:
                break
            searches = [*self._searches_for_parents([group.dn for group in new.values()])]
        return list(found.values())

    def _searches_for_parents(self, dns: list[str]) -> list[LDAPFilter]:
        filters = [fill_filter(self._query.group_filter, user="", dn=dn) for dn in dns]
        slices = [filters[start : start + DNS_PER_SEARCH] for start in range(0, len(filters), DNS_PER_SEARCH)]
        return [part[0] if len(part) == 1 else FilterOr(filters=part) for part in slices]

    async def _search_groups(self, connection: LdapConnection, wanted: LDAPFilter) -> list[Entry]:
        base = self._query.group_base or self._query.base
        found = await connection.search(base, wanted, [GROUP_NAME], limit=MAX_GROUPS + 1)
        if len(found) > MAX_GROUPS:
            raise LdapError(f"a user in more than {MAX_GROUPS} groups")
        return found

    async def _follows_chains(self, connection: LdapConnection, server: Server) -> bool:
        known = self._chains.get(server.url)
        if known is None:
            root = await connection.search(
                "", FilterPresent("objectClass"), ["supportedCapabilities"], limit=1, scope=SearchScope.BASE
            )
            capabilities = root[0].attributes.get("supportedcapabilities", ()) if root else ()
            known = self._chains[server.url] = ACTIVE_DIRECTORY in capabilities
        return known


def _names(groups: list[Entry]) -> tuple[str, ...]:
    return _unique([usable_name(next(iter(group.attributes.get(GROUP_NAME, ())), b"")) for group in groups])


def _unique(names: list[str]) -> tuple[str, ...]:
    if len(names) > MAX_GROUPS:
        raise LdapError(f"a user in more than {MAX_GROUPS} groups")
    return tuple(dict.fromkeys(name for name in names if name))


def _lenient(value: bytes) -> str:
    return value.decode(errors="replace")
