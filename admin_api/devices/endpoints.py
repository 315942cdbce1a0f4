# SPDX-License-Identifier: GPL-3.0-or-later
"""``/users/{name}/devices``."""

from fastapi import status

from admin_api.dependencies import ServicesOf, UsersRead, UsersWrite
from admin_api.devices.schemas import DeviceChange, DeviceView
from admin_api.http.lists.paging import Page
from admin_api.http.path_segments import BY_NAME
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.services import Services
from admin_api.store import UnitOfWork
from admin_api.store.identities.devices import device_id_of
from admin_api.store.identities.users import fold_name
from admin_api.store.tables import SeenDevice

router = resource_router(f"/users{BY_NAME}/devices", tag="users")


@router.get("", responses=responses(ProblemKind.NOT_FOUND))
async def list_devices(name: str, _: UsersRead, services: ServicesOf) -> Page[DeviceView]:
    """List the devices that a user was seen with, the latest first. At most 64 of a user are kept."""
    async with services.store.read() as unit:
        rows = await unit.devices.list(name)
        if not rows and await unit.users.get(name) is None:
            raise ApiError(ProblemKind.NOT_FOUND, f"There is no user {name}")
    live = _live_sessions(services, name)
    return Page(items=[_show(row, live) for row in rows])


@router.get("/{device_id}", responses=responses(ProblemKind.NOT_FOUND))
async def get_device(name: str, device_id: str, _: UsersRead, services: ServicesOf) -> DeviceView:
    """Get one device of a user."""
    async with services.store.read() as unit:
        row = await _find(unit, name, device_id)
    return _show(row, _live_sessions(services, name))


@router.patch("/{device_id}", responses=responses(ProblemKind.NOT_FOUND))
async def change_device(
    name: str, device_id: str, body: DeviceChange, caller: UsersWrite, services: ServicesOf
) -> DeviceView:
    """Name a device."""
    async with services.store.write() as unit:
        row = await _find(unit, name, device_id)
        row.name = body.name
        await unit.audit.add(caller.name, "device_named", name, device=device_id, name=body.name)
    return _show(row, _live_sessions(services, name))


@router.delete("/{device_id}", status_code=status.HTTP_204_NO_CONTENT, responses=responses(ProblemKind.NOT_FOUND))
async def delete_device(name: str, device_id: str, caller: UsersWrite, services: ServicesOf) -> None:
    """Forget a device. Its sessions go on, and it is listed again when it opens its next tunnel."""
    async with services.store.write() as unit:
        row = await _find(unit, name, device_id)
        await unit.devices.remove(row)
        await unit.audit.add(caller.name, "device_forgotten", name, device=device_id, hostname=row.hostname)


async def _find(unit: UnitOfWork, name: str, device_id: str) -> SeenDevice:
    row = await unit.devices.get(name, device_id)
    if row is None:
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no device {device_id} of {name}")
    return row


def _live_sessions(services: Services, name: str) -> dict[str, list[str]]:
    """Returns the ids of a user's live sessions, by device."""
    key, live = fold_name(name), dict[str, list[str]]()
    for view in services.sessions.list():
        if fold_name(view.user) == key:
            live.setdefault(device_id_of(view), []).append(view.id)
    return live


def _show(row: SeenDevice, live: dict[str, list[str]]) -> DeviceView:
    view = DeviceView.model_validate(row)
    view.sessions = live.get(row.id, [])
    return view
