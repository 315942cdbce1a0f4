# SPDX-License-Identifier: GPL-3.0-or-later
"""``serve --check``: checks that need no open socket or device. Changes nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.configuration.key_file import KeyFileError, read_key
from ocsentry.configuration.policy_files import load_policy
from ocsentry.errors import OperatorError
from ocsentry.login_methods.ldap import read_ldap
from ocsentry.login_methods.radius import SecretFileError, read_secret
from ocsentry.privileges.access import access_problems
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.gssapi.keytab import KeytabError, find_package_problem, load_keytab
from ocsentry.privileges.gssapi.scope import gssapi_scope_of
from ocsentry.privileges.pam.scope import pam_scope_of
from ocsentry.setup.certificates import CertificatePairError, expiry_problem, inspect_pair, utc_now
from ocsentry.setup.service_user import ServiceUser
from ocsentry.setup.webhook_secrets import read_webhook
from ocsentry.user_files.oath_file import OathFile, parse_oath_file
from ocsentry.user_files.password_file import PasswordFile, parse_password_file
from ocsentry.user_files.read_through import ReadThroughFile
from sentry_engine import PolicyError
from vpn_frontend.validation import validate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocsentry.configuration.model import LoadedConfig

PAM_SERVICES = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"), Path("/usr/share/pam.d"))


def check_startup(config: LoadedConfig) -> list[str]:
    """Returns one line per problem; an empty list if the server can start."""
    keys = (*_radius_secrets(config), *_ldap_files(config), *_pam_service(config), *_totp_key(config))
    keys += (*_user_files(config), *_hooks(config), *_webhook_secrets(config), *_keytab(config))
    return [*_certificates(config), *_network(config), *keys, *_as_service_user(config)]


def _as_service_user(config: LoadedConfig) -> list[str]:
    """Check what is read without privileges, with the rights of the server's user."""
    try:
        user = ServiceUser.find(config)
    except PrivilegeError as error:
        return [f"{config.path}: {error}"]
    with user.borrowed():
        unreachable = [] if user.identity is None else access_problems(config, user.reads(config))
        return [*(f"{config.path}: {problem}" for problem in unreachable), *_rules(config)]


def _certificates(config: LoadedConfig) -> Iterator[str]:
    """Check the API's certificate; ``_network`` checks the VPN's."""
    admin = config.values.admin
    if admin.certificate is None or admin.private_key is None:
        return
    try:
        problem = expiry_problem(inspect_pair(admin.certificate, admin.private_key), utc_now())
    except CertificatePairError as error:
        problem = str(error)
    if problem:
        yield f"{config.path}: admin.certificate: {problem}"


def _radius_secrets(config: LoadedConfig) -> Iterator[str]:
    for server in config.values.auth.radius.servers:
        try:
            read_secret(server.secret_file, _read_file)
        except SecretFileError as error:
            yield f"{config.path}: {error}"
        else:
            yield from _readable_by_all(config, "auth.radius.servers", server.secret_file)


def _webhook_secrets(config: LoadedConfig) -> Iterator[str]:
    for webhook in config.values.admin.webhook:
        try:
            read_webhook(webhook, _read_file)
        except OperatorError as error:
            yield f"{config.path}: {error}"
        else:
            yield from _readable_by_all(config, "admin.webhook", webhook.secret_file)


def _ldap_files(config: LoadedConfig) -> Iterator[str]:
    section = config.values.auth.ldap
    try:
        read_ldap(section, _read_file)
    except OperatorError as error:
        yield f"{config.path}: {error}"
    else:
        if section.password_file is not None:
            yield from _readable_by_all(config, "auth.ldap.password_file", section.password_file)


def _user_files(config: LoadedConfig) -> Iterator[str]:
    files: list[tuple[str, ReadThroughFile[PasswordFile] | ReadThroughFile[OathFile]]] = []
    own = config.values.auth
    hosts = [(f"vpn.host.{host.name}.auth", host.auth) for host in config.values.vpn.host]
    of_hosts = ((where, auth.ocpasswd_file, auth.oath_file) for where, auth in hosts)
    for where, passwords, codes in (("auth", own.ocpasswd_file, own.oath_file), *of_hosts):
        if passwords is not None:
            files.append((f"{where}.ocpasswd_file", ReadThroughFile(passwords, parse_password_file)))
        if codes is not None:
            files.append((f"{where}.oath_file", ReadThroughFile(codes, parse_oath_file)))
    for key, file in files:
        try:
            loaded = file.load()
        except OSError as error:
            yield f"{config.path}: {key}: {file.path}: cannot be read: {error.strerror or error}"
        else:
            yield from (f"{config.path}: {key}: {file.path}: {problem}" for problem in loaded.problems)
            yield from _readable_by_all(config, key, file.path)


def _pam_service(config: LoadedConfig) -> Iterator[str]:
    """A missing service is that of ``other``, which refuses everybody on most systems."""
    scope = pam_scope_of(config)
    for service in () if scope is None else scope.names:
        if not any((folder / service).exists() for folder in PAM_SERVICES):
            key = "auth.pam.service" if service == config.values.auth.pam.service else "pam_service"
            yield f"{config.path}: {key}: {PAM_SERVICES[0] / service} does not exist"


def _keytab(config: LoadedConfig) -> Iterator[str]:
    """The keytab is read with the rights that the server starts with."""
    scope = gssapi_scope_of(config)
    if scope is None:
        return
    if (problem := find_package_problem()) is not None:
        yield f"{config.path}: {problem}"
    try:
        load_keytab(scope.keytab, scope.service)
    except KeytabError as error:
        yield f"{config.path}: {error}"
    else:
        yield from _readable_by_all(config, "auth.gssapi.keytab", Path(scope.keytab))


def _hooks(config: LoadedConfig) -> Iterator[str]:
    for key, argv in config.values.vpn.hooks.programs().items():
        if not os.access(argv[0], os.X_OK):
            yield f"{config.path}: vpn.hooks.{key}: {argv[0]} is no program that can be run"


def _readable_by_all(config: LoadedConfig, key: str, file: Path) -> Iterator[str]:
    if file.stat().st_mode & stat.S_IROTH:
        yield f"{config.path}: {key}: {file}: every user may read it: chmod o-r"


def _read_file(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit)


def _rules(config: LoadedConfig) -> Iterator[str]:
    try:
        load_policy(config.values.policy)
    except PolicyError as error:
        yield from map(str, error.problems)


def _totp_key(config: LoadedConfig) -> Iterator[str]:
    """The key of one-time passwords is read with the rights that the server starts with."""
    try:
        read_key(config.vpn.auth.totp.key_file)
    except KeyFileError as error:
        yield f"{config.path}: auth.totp.key_file: {error}"


def _network(config: LoadedConfig) -> Iterator[str]:
    for problem in validate(config.vpn):
        yield f"{config.path}: vpn: {problem}"
