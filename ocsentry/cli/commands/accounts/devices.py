# SPDX-License-Identifier: GPL-3.0-or-later
"""``user devices``: the devices that a user was seen with."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from ocsentry.cli.completion import complete_users
from ocsentry.cli.invocation import Invocation
from ocsentry.cli.nouns import command_group

COLUMNS = ("id", "name", "platform", "hostname", "user_agent", "address", "last_seen_at", "online")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", autocompletion=complete_users)]
DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="The device's id, of `user devices list`.")]


def group() -> typer.Typer:
    return command_group(
        "Manage the devices that a user was seen with.",
        {
            "list": list_devices,
            "name": name_device,
            "forget": forget,
        },
    )


def list_devices(cli: Invocation, name: NameArgument) -> None:
    """List a user's devices, the latest first. Clients prove nothing of what they say of their machine."""
    rows = cli.api.get(_resource(name))["items"]
    for row in [] if cli.as_json else rows:
        row["online"] = len(row["sessions"])
    cli.emit_table(rows, COLUMNS, f"no devices of {name}")


def name_device(
    cli: Invocation,
    name: NameArgument,
    device: DeviceArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A name for the device; empty: none.")],
) -> None:
    """Name a device."""
    named = cli.api.patch(f"{_resource(name)}/{quote(device, safe='')}", {"name": text})
    cli.emit(named, f"{device} of {name} is named {text}" if text else f"{device} of {name} has no name")


def forget(cli: Invocation, name: NameArgument, device: DeviceArgument) -> None:
    """Forget a device. It is listed again when it opens its next tunnel."""
    cli.api.delete(f"{_resource(name)}/{quote(device, safe='')}")
    cli.emit({"name": name, "device": device}, f"forgot {device} of {name}")


def _resource(name: str) -> str:
    return f"users/{quote(name, safe='')}/devices"
