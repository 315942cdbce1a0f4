# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of logins: methods, certificates of clients, groups, texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.configuration.ocserv.rows import Row, assembled, mapped, number, switch_of, text
from vpn_frontend.ocserv.values import read_labelled

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.rows import Read
    from ocsentry.configuration.ocserv.target import Target
    from vpn_frontend.ocserv.grammar import Entry

MAX_GROUPS = 64  # that the form offers
MAX_GROUP_NAME = 63  # bytes; no client of ocserv can choose a longer one
SAN_EMAIL = "san(rfc822name)"  # ocserv's word for the subject's alternative name


def _read_field(key: str) -> Read:
    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        value = entries[-1].value
        target.set(key, "san:email" if value.casefold() == SAN_EMAIL else value, entries[-1])

    return read


def _read_group_field(target: Target, entries: tuple[Entry, ...]) -> None:
    _read_field("auth.certificate.group_field")(target, entries)
    target.set("auth.certificate.ask_group", True, entries[-1])


def _read_groups(target: Target, entries: tuple[Entry, ...]) -> None:
    names: list[str] = []
    for entry in entries:
        name, label = read_labelled(entry.value)
        if not name:
            target.refuse(entry, "it names no group")
            continue
        if len(name.encode()) > MAX_GROUP_NAME:
            limit = f"exceeds the maximum supported group name length of {MAX_GROUP_NAME} bytes"
            target.differs(entry, f"'select-group' entry {name[:MAX_GROUP_NAME]}... {limit}: it is not offered")
            continue
        names.append(name)
        if label:
            groups = target.document.setdefault("groups", {})
            groups.setdefault(name, {})["label"] = label
            target.origins[f"groups.{name}.label"] = entry
    target.set("auth.groups", list(dict.fromkeys(names)), entries[-1])
    target.set("auth.unoffered_groups", True, entries[-1])


def _read_automatic_groups(target: Target, entries: tuple[Entry, ...]) -> None:
    entry = entries[-1]
    if not switch_of(target, entry):
        return
    file = target.get("auth.ocpasswd_file")
    if file is not None:
        names = _groups_of_file(target, Path(file))
    elif "pam" in target.get("auth.methods", []):
        smallest = target.get("auth.pam.gid_min", 0)
        names = {name for name, number in target.around.groups() if number >= smallest}
    else:
        target.refuse(entry, "there are groups in the password file and of the system only: name them by select-group")
        return
    listed = [*target.get("auth.groups", []), *sorted(names)]
    if len(listed) > MAX_GROUPS:
        target.differs(entry, f"{len(listed)} groups: the first {MAX_GROUPS} are offered")
    target.set("auth.groups", list(dict.fromkeys(listed))[:MAX_GROUPS], entry)
    target.differs(entry, "groups that are made later are offered after a restart")


def _groups_of_file(target: Target, file: Path) -> set[str]:
    try:
        lines = target.around.look_into(file).decode(errors="replace").splitlines()
    except OSError:
        return set()  # reported where the file is used
    lists = (line.split(":")[1] for line in lines if ":" in line)
    return {name.strip() for groups in lists for name in groups.split(",")} - {"", "*"}


CRL = (
    "Read again every minute. As in ocserv a list counts past its next update, and one of an authority whose key usage "
    "lacks cRLSign counts too; `auth.certificate.crl_check` says it. Certificates of clients are looked up, those of "
    "authorities between are not."
)

LOGIN_KEYS: tuple[Row, ...] = (
    mapped("auth", "auth.methods, auth.require", assembled, "Several lines: all of them are needed.", several=True),
    mapped("enable-auth", "auth.methods", assembled, "Alternatives to auth.", several=True),
    mapped(
        "acct",
        "accounting.radius, accounting.pam",
        assembled,
        "With pam the account is checked for sessions of any method, and a session of PAM opened.",
    ),
    mapped("ca-cert", "auth.certificate.ca", assembled),
    mapped("crl", "auth.certificate.crl, auth.certificate.crl_check", assembled, CRL),
    mapped("cert-user-oid", "auth.certificate.user_field", _read_field("auth.certificate.user_field")),
    mapped(
        "cert-group-oid",
        "auth.certificate.group_field, auth.certificate.ask_group",
        _read_group_field,
        "A client whose certificate names several groups is asked for one, and belongs to all of them.",
    ),
    mapped("auth-timeout", "auth.timeout", number("auth.timeout", low=5, high=3600)),
    mapped("banner", "auth.banner", text("auth.banner")),
    mapped("pre-login-banner", "auth.pre_login_banner", text("auth.pre_login_banner")),
    mapped(
        "select-group",
        "auth.groups, auth.unoffered_groups, groups.NAME.label",
        _read_groups,
        f"A name of more than {MAX_GROUP_NAME} bytes is left out with a warning. Members may name others.",
        several=True,
    ),
    mapped("default-select-group", "auth.no_group_label", text("auth.no_group_label")),
    mapped(
        "auto-select-group",
        "auth.groups",
        _read_automatic_groups,
        "Groups of the password file, or of the system with pam, as they are at the start.",
    ),
    mapped("select-group-by-url", "", assembled, "A path that names a group chooses it in any case."),
)
