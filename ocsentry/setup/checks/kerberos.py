# SPDX-License-Identifier: GPL-3.0-or-later
"""The keytab of the method ``gssapi``, and the package that reads tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.privileges.gssapi.keytab import KeytabError, find_package_problem, load_keytab
from ocsentry.privileges.gssapi.scope import gssapi_scope_of
from ocsentry.setup.checks.result import CheckResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocsentry.configuration.model import LoadedConfig


def check_kerberos(config: LoadedConfig) -> Iterator[CheckResult]:
    """Nothing for a configuration without the method."""
    scope = gssapi_scope_of(config)
    if scope is None:
        return
    if (problem := find_package_problem()) is not None:
        yield CheckResult("kerberos", "fail", problem, "install the package, or leave gssapi out")
    try:
        keytab = load_keytab(scope.keytab, scope.service)
    except KeytabError as error:
        yield CheckResult("kerberos", "fail", str(error), "export the key of HTTP/HOST to the keytab (kadmin: ktadd)")
    else:
        names = ", ".join(keytab.principals)
        yield CheckResult("kerberos", "ok", f"keys of {names}: clients connect to a host of these names")
