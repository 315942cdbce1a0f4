# SPDX-License-Identifier: GPL-3.0-or-later
"""``auth``, ``enable-auth`` and ``acct``: methods, and what each of them needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.configuration.ocserv.bearer_file import read_bearer
from ocsentry.configuration.ocserv.radius_files import RadiusFileError, read_radius_file
from ocsentry.configuration.sections.gssapi import MAX_AGE
from vpn_frontend.ocserv.values import read_method, read_switch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocsentry.configuration.ocserv.target import Target
    from vpn_frontend.ocserv.grammar import Entry

METHODS = {name: name for name in ("certificate", "gssapi", "pam", "radius")} | {
    "plain": "password",
    "oidc": "bearer",
}
OPTIONS = {
    "plain": {"", "passwd", "otp"},
    "certificate": {"optional"},
    "oidc": {"", "config"},
    "gssapi": {"", "keytab", "require-local-user-map", "tgt-freshness-time"},
    "pam": {"gid-min", "service"},
    "radius": {"", "config", "groupconfig", "nas-identifier", "default_realm"},
}
PAM_SERVICE = "ocserv"
KRB5_CONF = Path("/etc/krb5.conf")
KEYTAB = "/etc/krb5.keytab"  # of the system, if KRB5_CONF names no other; ocserv uses it without a name


def assemble_methods(target: Target) -> None:
    """``auth.methods`` and ``auth.require``: all of ``auth``, or one of ``enable-auth``."""
    needed = [name for entry in target.given.get("auth", ()) for name in _read(target, entry)]
    others = [name for entry in target.given.get("enable-auth", ()) for name in _read(target, entry)]
    given = (*target.given.get("auth", ()), *target.given.get("enable-auth", ()))
    if not given:
        return  # reported by the translation, which has no line for it
    needed, others = list(dict.fromkeys(needed)), list(dict.fromkeys(others))
    if len(needed) > 1 and others:
        target.refuse(given[-1], "several methods of auth, or one of enable-auth, cannot be had: remove one side")
        return
    first = sorted(needed, key=lambda name: name == "certificate")  # the form's method first
    target.set("auth.methods", [*first[:1], *(name for name in others if name not in first)], given[0])
    if first[1:]:
        target.set("auth.require", first[1:], given[0])
    if "certificate" in (*needed, *others):
        _name_authorities(target)
    _read_accounting(target)


def _read(target: Target, entry: Entry) -> list[str]:
    """The methods of one line, by the names of the TOML file."""
    try:
        method, options = read_method(entry.value)
    except ValueError as error:
        target.refuse(entry, str(error))
        return []
    if method not in METHODS:
        target.refuse(entry, f"there is no method {method!r}")
        return []
    for unknown in sorted(options.keys() - OPTIONS[method]):
        target.differs(entry, f"{unknown or options[unknown]!r} of {method} has no effect")
    _READERS[method](target, entry, options)
    return [METHODS[method], *(["totp"] if options.get("otp") else [])]


def _read_plain(target: Target, entry: Entry, options: Mapping[str, str]) -> None:
    users = options.get("passwd") or options.get("")
    if users:
        target.set("auth.ocpasswd_file", target.file(entry, users), entry)
    else:
        target.refuse(entry, "name the password file: plain[passwd=FILE]")
    if options.get("otp"):
        target.set("auth.oath_file", target.file(entry, options["otp"]), entry)
        target.set("auth.totp.required", "all", entry)


def _read_pam(target: Target, entry: Entry, options: Mapping[str, str]) -> None:
    target.set("auth.pam.service", options.get("service") or PAM_SERVICE, entry)
    smallest = options.get("gid-min", "0")
    if smallest.isascii() and smallest.isdigit():
        target.set("auth.pam.gid_min", int(smallest), entry)
    else:
        target.refuse(entry, f"gid-min: {smallest!r} is not a number")


def _system_keytab(target: Target) -> str:
    """``default_keytab_name`` of ``[libdefaults]`` (krb5.conf(5)), if it is a file, or what libkrb5 uses without it."""
    try:
        lines = target.around.look_into(KRB5_CONF).decode(errors="replace").splitlines()
    except OSError:
        return KEYTAB
    section = ""
    for line in lines:
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals and name.startswith("["):
            section = name
        elif equals and (section, name) == ("[libdefaults]", "default_keytab_name"):
            path = value.removeprefix("FILE:")
            return path if path.startswith("/") else KEYTAB
    return KEYTAB


def _read_gssapi(target: Target, entry: Entry, options: Mapping[str, str]) -> None:
    """A principal of the keytab's realm is the user of its name, as by ocserv's ``require-local-user-map``."""
    named = options.get("keytab") or options.get("") or _system_keytab(target)
    target.set("auth.gssapi.keytab", target.file(entry, named), entry)
    age = options.get("tgt-freshness-time", "0")
    if age.isascii() and age.isdigit() and int(age) <= MAX_AGE:
        if int(age):
            target.set("auth.gssapi.max_ticket_age", int(age), entry)
    else:
        target.refuse(entry, f"tgt-freshness-time: {age!r} is not a number of seconds, at most {MAX_AGE}")
    if not read_switch(options.get("require-local-user-map", "true"))[0]:
        target.differs(entry, "principals of other realms log in only where auth.gssapi.realms names theirs")


def _read_radius(target: Target, entry: Entry, options: Mapping[str, str]) -> None:
    named = options.get("config") or options.get("")
    if not named:
        target.refuse(entry, "name radcli's file: radius[config=FILE]")
        return
    try:
        file = read_radius_file(Path(target.file(entry, named)), target.around.look_into, target.around.resolve)
    except RadiusFileError as error:
        target.refuse(entry, str(error))
        return
    servers = []
    for number, server in enumerate(file.servers):
        name = f"radius-{number}.secret"
        target.files[name] = server.secret + b"\n"
        servers.append(
            {"address": server.address, "accounting": server.accounting, "secret_file": str(target.around.state / name)}
        )
    target.set("auth.radius.servers", servers, entry)
    if file.timeout is not None:
        # radcli waits this long for each try; here it is for all tries of a server.
        target.set("auth.radius.timeout", file.timeout * ((file.retries or 0) + 1), entry)
    if file.retries is not None:
        target.set("auth.radius.retries", min(file.retries, 10), entry)
    if file.dead_time is not None:
        target.set("auth.radius.dead_time", min(file.dead_time, 3600), entry)
    # ocserv accepts answers without the attribute; many servers of its users do not send it.
    target.set("auth.radius.require_message_authenticator", False, entry)
    target.differs(entry, "answers without Message-Authenticator are accepted, as ocserv does (CVE-2024-3596)")
    if options.get("nas-identifier"):
        target.set("auth.radius.nas_identifier", options["nas-identifier"], entry)
    realm = options.get("default_realm") or file.default_realm
    if realm:
        target.set("auth.radius.default_realm", realm, entry)
    if read_switch(options.get("groupconfig", "false"))[0]:
        target.set("auth.radius.group_config", True, entry)
        target.set("vpn.addresses_within", ["0.0.0.0/0", "::/0"])  # as in ocserv, any address that the server pushes
    for key in file.ignored:
        target.differs(entry, f"{key} of {named} has no effect")


def _read_certificate(_target: Target, _entry: Entry, _options: Mapping[str, str]) -> None:
    """Its keys stand on their own."""


_READERS = {
    "plain": _read_plain,
    "pam": _read_pam,
    "radius": _read_radius,
    "certificate": _read_certificate,
    "gssapi": _read_gssapi,
    "oidc": read_bearer,
}


def _name_authorities(target: Target) -> None:
    for key, name in (("ca-cert", "ca"), ("crl", "crl")):
        entry = target.last(key)
        if entry is not None:
            target.set(f"auth.certificate.{name}", target.file(entry, entry.value), entry)
    if (entry := target.last("crl")) is not None:
        target.set("auth.certificate.crl_check", "listed", entry)


def _read_accounting(target: Target) -> None:
    entry = target.last("acct")
    if entry is None:
        return
    try:
        method, options = read_method(entry.value)
    except ValueError as error:
        target.refuse(entry, str(error))
        return
    if method == "pam":
        target.set("accounting.pam", True, entry)
        target.set("accounting.pam_service", options.get("service") or PAM_SERVICE, entry)
        return
    if method != "radius":
        target.refuse(entry, f"accounting goes to RADIUS or PAM, not to {method}: remove the line")
        return
    if target.get("auth.radius.servers") is None:
        _read_radius(target, entry, options)
    if target.get("auth.radius.servers") is not None:
        target.set("accounting.radius", True, entry)
