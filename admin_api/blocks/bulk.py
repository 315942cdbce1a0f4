# SPDX-License-Identifier: GPL-3.0-or-later
"""``/blocks:import``, ``/blocks:export`` and ``/blocks/stream``: all blocks at once, streamed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from admin_api.blocks.line_formats import MEDIA_TYPES, LineFormat
from admin_api.blocks.lines import BadLine, BlockLine, LineReader, renderer_of
from admin_api.blocks.schemas import BlockDeltas, BlocksImported, Ttl, show_block
from admin_api.dependencies import BlocksRead, BlocksWrite, DryRun, Force, OwnAddresses, ServicesOf
from admin_api.enforcement.blocks.bulk_import import BATCH, SLICE, BlockImport, ImportOptions, ImportReport
from admin_api.enforcement.blocks.table import BlockEntry
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.http.values import Text
from admin_api.long_operations import Operation
from admin_api.services import Services

router = resource_router("", tag="blocks")

STEP = 500  # blocks rendered at a time: a few milliseconds of the event loop
LINES: dict[str, Any] = {media: {"schema": {"type": "string"}} for media in MEDIA_TYPES.values()}
IMPORT_BODY = {"required": False, "content": LINES}  # no body has no lines


async def format_of(content_type: Annotated[str, Header()] = "text/plain") -> LineFormat:
    """Returns the format of the request's lines. Raises ``ApiError`` (415)."""
    media = content_type.partition(";")[0].strip().lower()
    for form, known in MEDIA_TYPES.items():
        if media == known:
            return form
    raise ApiError(ProblemKind.UNSUPPORTED_MEDIA_TYPE, f"Send {', '.join(MEDIA_TYPES.values())}")


Form = Annotated[LineFormat, Depends(format_of)]


@router.post(
    "/blocks:import",
    responses=responses(
        ProblemKind.UNSUPPORTED_MEDIA_TYPE, ProblemKind.TOO_LARGE, ProblemKind.TABLE_FULL, ProblemKind.UNAVAILABLE
    ),
    openapi_extra={"requestBody": IMPORT_BODY},
)
async def import_blocks(
    request: Request,
    caller: BlocksWrite,
    services: ServicesOf,
    own: OwnAddresses,
    form: Form,
    content_length: Annotated[int | None, Header(include_in_schema=False)] = None,
    reason: Annotated[Text, Query(description="Of lines without a reason.")] = "",
    ttl: Annotated[Ttl | None, Query(description="Seconds, of lines without an end.")] = None,
    dry_run: DryRun = False,
    force: Force = False,
) -> BlocksImported:
    """Block many networks: text (one per line), CSV (cidr, reason, ttl) or NDJSON (bodies of `POST /blocks`).

    The body is read as it arrives. Each batch is in force and stored before the next is read. `/operations/{id}` shows
    the progress, and cancels: what was imported so far stays, and its `result` says how much. A line that is malformed,
    or needs force, is left out and told in `errors`.
    """
    importing = services.enforcement.import_blocks(ImportOptions(caller.name, dry_run=dry_run, force=force, own=own))
    operations = services.operations
    operation = operations.present() or operations.begin("blocks_import", caller.name)
    operation.advance(0, content_length)
    work = _import(request, importing, LineReader(form), operation, reason=reason, ttl=ttl)
    done = await (work if operation is operations.present() else operations.run(operation, work))
    return BlocksImported.model_validate(done)


@router.get(
    "/blocks:export",
    response_class=StreamingResponse,
    responses=responses()
    | {200: {"content": {media: {"schema": {"type": "string"}} for media in MEDIA_TYPES.values()}}},
)
async def export_blocks(
    _: BlocksRead,
    services: ServicesOf,
    format: Annotated[LineFormat, Query(description="Of the lines; `import` reads all of them.")] = LineFormat.NDJSON,  # noqa: A002
) -> StreamingResponse:
    """Export all blocks in force, oldest first."""
    render = renderer_of(format, services.clock.wall)

    async def lines() -> AsyncIterator[bytes]:
        async for entries in _in_steps(services):
            yield "".join(map(render, entries)).encode()

    return StreamingResponse(lines(), media_type=MEDIA_TYPES[format])


@router.get("/blocks/stream", response_class=EventSourceResponse, responses=responses(ProblemKind.UNAVAILABLE))
async def stream_blocks(
    _: BlocksRead,
    services: ServicesOf,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)] = None,
    follow: Annotated[bool, Query(description="`false`: end the stream after the present state.")] = True,
) -> AsyncIterator[ServerSentEvent]:
    """Stream all blocks and then each change, so that another firewall has the same blocks.

    `blocks` events carry the state in parts. `ready` follows them. `changes` events say what was added, changed or
    removed. With Last-Event-ID only the changes since are sent. `reset`: too many changes were missed, the state
    follows again.
    """
    blocks, changes = services.enforcement.blocks, services.enforcement.blocks.changes
    number = None if last_event_id is None else changes.number_of(last_event_id)
    if number is not None and changes.since(number, 1) is None:
        number = None
    first = last_event_id is None
    while True:
        if number is None:
            if not first:
                yield ServerSentEvent(raw_data="{}", event="reset")
            number = changes.number
            async for entries in _in_steps(services):
                shown = [show_block(blocks, entry) for entry in entries]
                yield ServerSentEvent(raw_data=_render(BlockDeltas(added=shown, removed=[])), event="blocks")
            yield ServerSentEvent(raw_data="{}", event="ready", id=changes.id_of(number))
        first = False
        deltas = changes.since(number, STEP)
        if deltas is None:
            number = None
            continue
        if deltas:
            number = deltas[-1].number
            last = {delta.entry.id: delta for delta in deltas}
            told = BlockDeltas(
                added=[show_block(blocks, one.entry) for one in last.values() if not one.gone],
                removed=[one.entry.cidr for one in last.values() if one.gone],
            )
            yield ServerSentEvent(raw_data=_render(told), event="changes", id=changes.id_of(number))
        elif not follow or changes.closed:
            return
        else:
            await changes.wait_after(number)


async def _import(
    request: Request,
    importing: BlockImport,
    reader: LineReader,
    operation: Operation,
    *,
    reason: str,
    ttl: float | None,
) -> Mapping[str, Any]:
    """Returns the outcome. The operation has it also if the import ends early: cancelled, its caller gone."""
    try:
        await _read(request, importing, reader, operation, reason=reason, ttl=ttl)
    except BaseException:
        operation.cancellable = False  # the end below is not cancelled once more
        with suppress(Exception):  # the first failure is told
            operation.result = _outcome(await importing.finish(ended_early=True), operation)
        raise
    return _outcome(await importing.finish(), operation)


async def _read(
    request: Request,
    importing: BlockImport,
    reader: LineReader,
    operation: Operation,
    *,
    reason: str,
    ttl: float | None,
) -> None:
    batch: list[BlockLine] = []
    read = 0

    async def put(lines: list[BlockLine]) -> None:
        await importing.add_batch(
            [
                (
                    line.number,
                    line.network,
                    reason if line.reason is None else line.reason,
                    ttl if line.ttl is None else line.ttl,
                )
                for line in lines
            ]
        )
        lines.clear()
        await asyncio.sleep(0)

    async for chunk in request.stream():
        for line in reader.feed(chunk):
            if isinstance(line, BadLine):
                importing.report.refuse(line.number, line.detail)
                continue
            batch.append(line)
            if len(batch) >= BATCH:
                await put(batch)
            elif len(batch) % SLICE == 0:
                await asyncio.sleep(0)
        read += len(chunk)
        operation.advance(read)
    for line in reader.end():
        if isinstance(line, BadLine):
            importing.report.refuse(line.number, line.detail)
        else:
            batch.append(line)
    await put(batch)


def _outcome(report: ImportReport, operation: Operation) -> dict[str, Any]:
    errors = [{"line": line, "detail": detail} for line, detail in sorted(report.errors)]
    return asdict(report) | {"errors": errors, "operation": operation.id}


async def _in_steps(services: Services) -> AsyncIterator[list[BlockEntry]]:
    """Yields the blocks in force in order. Other requests run between the steps."""
    after: str | None = None
    while entries := services.enforcement.blocks.page(after=after, limit=STEP):
        yield entries
        after = entries[-1].id
        await asyncio.sleep(0)


def _render(deltas: BlockDeltas) -> str:
    return deltas.model_dump_json()
