# SPDX-License-Identifier: GPL-3.0-or-later
"""The privileged part of a start: open what needs privileges, then give them up, before a byte of a client is read.

    folders, lock ── helper process ── sockets, TUN queues, the API's port and key ── drop

Everything else (rules, database, engine, gateway threads, API) starts behind it, with the rights of the service user.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from admin_api.connections.bound_socket import bind_endpoint
from ocsentry.configuration.key_file import KeyFileError, make_key
from ocsentry.privileges import allocator, filters
from ocsentry.privileges.access import access_problems
from ocsentry.privileges.drop import Dropped, Restrictions, drop
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.filters import Role
from ocsentry.privileges.gssapi.client import GssapiHelper
from ocsentry.privileges.gssapi.scope import gssapi_scope_of
from ocsentry.privileges.helper.client import Helper
from ocsentry.privileges.helper.configured import scope_of
from ocsentry.privileges.hooks.client import HookHelper
from ocsentry.privileges.hooks.scope import hook_scope_of
from ocsentry.privileges.identity import Identity
from ocsentry.privileges.instance_lock import InstanceLock
from ocsentry.privileges.kept_listeners import KeptListeners
from ocsentry.privileges.network_namespace import SocketsInNamespace
from ocsentry.privileges.pam.client import PamHelper
from ocsentry.privileges.pam.scope import pam_scope_of
from ocsentry.privileges.server_reach import named_lists, reach_of_server, writable_folders
from sentry_engine.policy.rule_files import RuleFiles
from sentry_engine.records import dataclass
from vpn_frontend.gateway.descriptors import open_through

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.started_helper import Scope, StartedHelper
    from vpn_frontend.gateway.descriptors import GatewayDescriptors

FOLDER_MODE = 0o750
HelperT = TypeVar("HelperT", bound="StartedHelper")


@dataclass(frozen=True, slots=True)
class Started:
    """What was opened while the process had its privileges. The server closes
    ``helper``, the ``started_helpers`` and ``lock`` at its end.
    """

    helper: Helper
    descriptors: GatewayDescriptors
    api_listener: socket.socket | None
    api_tls: ssl.SSLContext | None
    rule_files: RuleFiles  # read once: for the lists that they name (Landlock), and for the policy
    worker_filter: bytes | None
    dropped: Dropped
    lock: InstanceLock
    totp_key: bytes | None = None
    pam: PamHelper | None = None  # None: no login uses PAM
    hooks: HookHelper | None = None  # None: none is configured
    gssapi: GssapiHelper | None = None  # None: no login uses tickets
    peer_listener: socket.socket | None = None  # for the other nodes of a fleet
    unused: tuple[str, ...] = ()  # names of kept sockets whose endpoints are gone

    @property
    def started_helpers(self) -> tuple[StartedHelper, ...]:
        return tuple(one for one in (self.pam, self.hooks, self.gssapi) if one is not None)


def open_and_drop(
    config: LoadedConfig,
    before_drop: Callable[[], None] | None = None,
    kept: Iterable[tuple[str, int]] = (),
    meanwhile: Callable[[], None] | None = None,
) -> Started:
    """Returns with the privileges gone. ``before_drop`` is called last while they are there.

    ``kept``: sockets of the last process, see ``kept_listeners``; they belong to this from now on. ``meanwhile`` is
    called while the helper process starts, which takes as long as an interpreter does. It starts no thread.

    Raises what opening raises, and ``PrivilegeError``; nothing stays open then.
    """
    process, mode = config.values.process, config.values.process.seccomp
    identity = Identity.find(process.user)
    _make_folders(config, identity)
    lock = InstanceLock.take(config, identity)  # before a second server could attach to the TUN device of the first
    helper = pam = hooks = gssapi = None
    try:
        helper = Helper.start(scope_of(config))
        if meanwhile is not None:
            meanwhile()
        pam = _start(PamHelper, pam_scope_of(config))
        hooks = _start(HookHelper, hook_scope_of(config))
        gssapi = _start(GssapiHelper, gssapi_scope_of(config))
        programs = {role: None if mode == "off" else filters.build(role, mode) for role in (Role.MAIN, Role.WORKER)}
        rule_files = RuleFiles()
        lists = named_lists(config, rule_files.read)
        helper.confine(seccomp=mode, landlock=process.landlock)
        totp_key = _open_totp_key(config, identity)
        if config.values.policy.kernel == "nftables":
            _open_filter(helper)
        namespace = config.vpn.listen_netns
        opener = SocketsInNamespace(namespace, helper) if namespace else helper
        listeners = KeptListeners(opener, kept, namespace)
        descriptors = _open_gateway(config, helper, listeners)
        listener, tls = _open_api(config)
        peer_listener = _open_peer_port(config)
        reach = reach_of_server(config, lists) if process.landlock else None
        if before_drop is not None:
            before_drop()
        allocator.settle()
        dropped = drop(Restrictions(identity, programs[Role.MAIN], reach))
        _check_access(config)
    except BaseException:
        if helper is not None:
            helper.close()
        for started in (pam, hooks, gssapi):
            if started is not None:
                started.close()
        lock.close()
        raise
    return Started(
        helper,
        descriptors,
        listener,
        tls,
        rule_files,
        programs[Role.WORKER],
        dropped,
        lock,
        totp_key,
        pam,
        hooks,
        gssapi,
        peer_listener,
        listeners.close_unused(),
    )


def _start(helper: type[HelperT], scope: Scope | None) -> HelperT | None:
    return None if scope is None else helper.start(scope)


def _open_totp_key(config: LoadedConfig, identity: Identity | None) -> bytes | None:
    """The key of one-time passwords, made at the first start: users can then be enrolled while the server runs.

    ``None`` where it cannot be made and no login needs it. A file that cannot be used is an error in any case.
    """
    auth = config.vpn.auth
    owner = None if identity is None else (identity.uid, identity.gid)
    try:
        return make_key(auth.totp.key_file, owner=owner)
    except KeyFileError as error:
        if auth.totp.key_file.exists() or "totp" in config.vpn.method_names():
            raise PrivilegeError(f"auth.totp.key_file: {error}") from error
        return None


def _open_gateway(config: LoadedConfig, helper: Helper, listeners: KeptListeners) -> GatewayDescriptors:
    opened = open_through(listeners, config.vpn)
    if config.values.process.key_isolation == "off":
        return opened
    try:
        return replace(opened, signers=helper.open_signer(len(opened.listeners)))
    except OSError as error:
        opened.close()
        raise PrivilegeError(f"process.key_isolation: {error.strerror or error}") from error


def _open_filter(helper: Helper) -> None:
    try:
        helper.open_filter()
    except OSError as error:
        text = f"policy.kernel: no table can be made: {error.strerror or error} (it needs CAP_NET_ADMIN and Linux 5.12)"
        raise PrivilegeError(text) from error


def _open_api(config: LoadedConfig) -> tuple[socket.socket | None, ssl.SSLContext | None]:
    admin = config.values.admin
    tls = None
    if admin.certificate is not None and admin.private_key is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            tls.load_cert_chain(admin.certificate, admin.private_key)
        except (OSError, ssl.SSLError) as error:
            raise PrivilegeError(f"admin.certificate: cannot be used: {error.strerror or error}") from error
    return (None if admin.listen is None else bind_endpoint(admin.listen)), tls


def _open_peer_port(config: LoadedConfig) -> socket.socket | None:
    endpoint = config.values.fleet.peer_listen if config.values.fleet.name else None
    return None if endpoint is None else bind_endpoint(endpoint, "fleet.peer_listen: the fleet's peers")


def _make_folders(config: LoadedConfig, identity: Identity | None) -> None:
    """Make the folders that are missing, for the user that the process becomes. What exists is left as it is."""
    for key, folder in writable_folders(config).items():
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        try:
            for place in reversed(missing):
                place.mkdir(FOLDER_MODE)
                if identity is not None:
                    os.chown(place, identity.uid, identity.gid)
        except OSError as error:
            raise PrivilegeError(f"{key}: {folder} cannot be made: {error.strerror}") from error
        if key == "store.url":
            os.environ["SQLITE_TMPDIR"] = str(folder)  # elsewhere its temporary files are out of reach


def _check_access(config: LoadedConfig) -> None:
    """Check the files with the rights of the present user. Raises ``PrivilegeError`` with those it cannot reach."""
    problems = access_problems(config)
    if problems:
        raise PrivilegeError("\n".join(map(str, problems)))
