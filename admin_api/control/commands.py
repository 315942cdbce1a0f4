# SPDX-License-Identifier: GPL-3.0-or-later
"""The one-line commands of the Unix socket: each request and each answer is a JSON object on one line.

    {"command": "reload_rules"}
    {"command": "block_ip", "ip": "198.51.100.42", "reason": "Brute force", "ttl": 3600}
    {"command": "block_ip", "ip": "0.0.0.0/0", "force": true}
    {"command": "unblock_ip", "ip": "198.51.100.42"}
    {"command": "status"}

An answer has ``ok``. If it is false, ``error`` is a stable code and ``detail`` a sentence. ``stored`` is false if a
block is changed, but the database could not be written.
"""

import json
import logging
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, TypeAdapter, ValidationError

from admin_api.blocks.schemas import Ttl
from admin_api.health.status import describe_status
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.http.values import Body, Cidr, Text
from admin_api.services import Services
from admin_api.store.failures import is_unavailable
from vpn_frontend.settings import Network

logger = logging.getLogger(__name__)


class ReloadRules(Body):
    command: Literal["reload_rules"]


class BlockIp(Body):
    command: Literal["block_ip"]
    ip: Cidr
    reason: Text = ""
    ttl: Ttl | None = None
    force: StrictBool = False


class UnblockIp(Body):
    command: Literal["unblock_ip"]
    ip: Cidr


class Status(Body):
    command: Literal["status"]


Command = ReloadRules | BlockIp | UnblockIp | Status
PARSER: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="command")])


class LineCommands:
    """Carries out one-line commands."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def answer(self, line: bytes, by: str) -> bytes:
        """Carry out one command for the caller ``by``. Returns the answer, with its newline."""
        try:
            answer = {"ok": True} | await self._carry_out(PARSER.validate_json(line), by)
        except ValidationError as error:
            answer = _failure(ProblemKind.INVALID.code, _describe(error))
        except ApiError as error:
            answer = _failure(error.kind.code, error.detail)
        except Exception as error:
            if is_unavailable(error):
                logger.warning("a command on the control socket failed: the database is not available: %s", error)
                answer = _failure(ProblemKind.UNAVAILABLE.code, "the database does not answer; repeat it later")
            else:
                logger.exception("a command on the control socket failed")
                answer = _failure(ProblemKind.INTERNAL.code, ProblemKind.INTERNAL.title)
        return json.dumps(answer, separators=(",", ":")).encode() + b"\n"

    async def _carry_out(self, command: Command, by: str) -> dict[str, Any]:
        match command:
            case ReloadRules():
                return await self._reload(by)
            case BlockIp():
                return await self._block(command, by)
            case UnblockIp():
                removed = await self._services.enforcement.remove_block(str(command.ip), by)
                if removed is None:
                    raise ApiError(ProblemKind.NOT_FOUND, f"There is no block of {command.ip}")
                return {"ip": _name(command.ip)} | ({} if removed.stored else {"stored": False})
            case Status():
                return (await describe_status(self._services)).model_dump(mode="json")

    async def _reload(self, by: str) -> dict[str, Any]:
        report = await self._services.enforcement.reload(by=by)
        if not report.valid:
            raise ApiError(ProblemKind.INVALID_POLICY, "; ".join(map(str, report.problems)))
        return {"version": report.version, "rules": report.rules, "sessions_cut": report.sessions_cut}

    async def _block(self, command: BlockIp, by: str) -> dict[str, Any]:
        report = await self._services.enforcement.add_block(
            command.ip, command.reason, command.ttl, by, force=command.force
        )
        return {
            "id": report.id,
            "ip": _name(report.cidr),
            "reason": report.reason,
            "expires_at": report.expires_at and report.expires_at.isoformat(),
            "sessions_cut": report.sessions_cut,
            "stored": report.stored,
        }


def _name(network: Network) -> str:
    """Returns a single address without its prefix length, any other network in CIDR."""
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _failure(code: str, detail: str) -> dict[str, Any]:
    return {"ok": False, "error": code, "detail": detail}


def _describe(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(step) for step in first["loc"][1:])
    return f"{place}: {first['msg']}" if place else first["msg"]
