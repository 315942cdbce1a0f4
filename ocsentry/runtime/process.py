# SPDX-License-Identifier: GPL-3.0-or-later
"""The server process: log, signals, systemd notifications, and exit."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from ocsentry.configuration.ocserv.target import Outcome
from ocsentry.errors import OperatorError, describe_os_error
from ocsentry.login_methods.table import load_method
from ocsentry.observability.event_catalog import EVENT_CATALOG, LogEvent
from ocsentry.observability.log import Log
from ocsentry.observability.syslog_output import SyslogHandler
from ocsentry.privileges.reports import report_drop
from ocsentry.privileges.start import open_and_drop
from ocsentry.runtime.service_manager import systemd
from ocsentry.runtime.service_manager.descriptor_store import take_listeners
from ocsentry.runtime.service_manager.pid_file import PidFile, link_socket
from ocsentry.runtime.service_manager.watchdog import END_CHECKS, INTERVAL, LoopGuard, Watchdog, exit_at_once
from sentry_engine import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.configuration.ocserv.target import Note
    from ocsentry.privileges.start import Started
    from ocsentry.runtime.server import Server

IGNORED_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
RESTART_SIGNAL = signal.SIGQUIT  # stop for a restart: sessions are left to the next process
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, RESTART_SIGNAL)
GC_THRESHOLD = 20_000  # new objects until a garbage collection: most are of logins that have ended by then


class ServingError(OperatorError):
    """The server can serve no more and has closed what it had opened. A service manager starts it again."""


class StoppedAtStartError(BaseException):
    """A signal came before the server was ready. Not an ``Exception``: no layer's error handling may take it."""


class StartError(OperatorError):
    """The server could not start; everything it had opened is closed."""


def run_server(
    config: LoadedConfig,
    *,
    pid_file: Path | None = None,
    socket_link: Path | None = None,
    notes: Sequence[Note] = (),
) -> None:
    """Serve until SIGTERM, SIGINT or, for a restart, SIGQUIT; also if one comes while the server starts.

    Raises ``StartError``; ``ServingError`` if the server failed later.

    ``pid_file`` holds the process id while it serves. ``socket_link`` leads to the admin socket. ``notes``: what a
    translated configuration does differently, for the log.
    """
    with suppress(StoppedAtStartError):
        _run(config, pid_file, socket_link, notes)


def _run(config: LoadedConfig, pid_file: Path | None, socket_link: Path | None, notes: Sequence[Note]) -> None:
    settings = config.values.log
    for number in IGNORED_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:  # which ends the process
            signal.signal(number, _ignore)
    early: list[int] = []  # signals before the event loop runs: the server's files tell that it starts
    signal.signal(signal.SIGHUP, lambda number, _: early.append(number))
    for number in STOP_SIGNALS:
        signal.signal(number, partial(_stop_early, early))
    pid = None if pid_file is None else PidFile(pid_file)

    def show_files() -> None:
        if pid is not None:
            pid.write()
        if socket_link is not None:
            link_socket(socket_link, config.values.admin.socket)

    for name in config.vpn.method_names():
        load_method(name)  # while their files can be read
    kept = take_listeners(config)
    syslog = SyslogHandler(settings.syslog, settings.syslog_format) if settings.syslog else None
    try:
        with _readable_errors():
            # Before the first thread: later ones inherit the restrictions.
            started = open_and_drop(config, show_files, kept, meanwhile=_load_server)
    except BaseException:
        if pid is not None:
            pid.remove()
        raise
    log = Log(settings.level, settings.format, syslog=syslog)
    try:
        _log_notes(log, config, notes)
        report_drop(started.dropped, config.values.process, log)
        stopped_early = not asyncio.run(_serve(config, log, started, early))
        log.write(LogEvent.STOPPED)
    finally:
        log.close()
        started.helper.close()
        for helper in started.started_helpers:
            helper.close()
        if pid is not None:
            pid.remove()
        started.lock.close()
    if stopped_early:
        os._exit(0)  # a thread may still wait for what the start was waiting for, such as a download


def _load_server() -> None:
    """Load what serves: store, engine, VPN. The API follows when the VPN listens."""
    import_module("ocsentry.runtime.server")


def _stop_early(early: list[int], number: int, _frame: object) -> None:
    """Raises ``StoppedAtStartError``. Kept too, because Python drops errors that come inside a destructor."""
    early.append(number)
    raise StoppedAtStartError


def _ignore(_number: int, _frame: object) -> None:
    """A handler, because an ignored signal would stay so in every program that this process starts."""


def _log_notes(log: Log, config: LoadedConfig, notes: Sequence[Note]) -> None:
    for note in notes:
        event = LogEvent.OCSERV_KEY_IGNORED if note.outcome is Outcome.IGNORED else LogEvent.OCSERV_KEY_DIFFERS
        entry = EVENT_CATALOG[event]
        log.write(event, entry.level, file=str(config.path), line=note.line, key=note.key, reason=note.text)


async def _serve(config: LoadedConfig, log: Log, started: Started, early: Sequence[int]) -> bool:
    """False: a signal stopped it before it was ready."""
    from ocsentry.runtime.server import Server  # noqa: PLC0415 - loaded while the helper process started

    server = Server(config, log, started)
    stopping = _watch_stop_signals(early)
    guard = LoopGuard(log, end=partial(exit_at_once, log))
    try:
        with _readable_errors():
            if not await _start_unless_stopped(server, stopping):
                log.write(LogEvent.STOPPING, reason=stopping.result(), sessions=0)
                return False
        _freeze_long_lived_objects()
        guard.start()
        reloads = _watch_reload_signal(server, early)
        systemd.notify_ready("serving")
        watchdog = asyncio.create_task(_watch(server, guard), name="watchdog")
        failure = asyncio.create_task(server.wait_for_failure(), name="failure")
        reason = await _first_of(stopping, failure)
        systemd.notify_stopping()
        if reason == RESTART_SIGNAL.name:
            server.suspend_sessions()
        server.announce_stop(reason)
        for task in (reloads, watchdog, failure):
            task.cancel()
        await asyncio.gather(reloads, watchdog, failure, return_exceptions=True)
    finally:
        beats = asyncio.create_task(_beat(guard))
        await server.stop()
        beats.cancel()
        guard.stop()
    if not stopping.done():
        raise ServingError(f"{reason}: start the server again")
    return True


async def _start_unless_stopped(server: Server, stopping: asyncio.Future[str]) -> bool:
    """Start the server. False: a signal came first, and what has been started is to be stopped."""
    loop, task, starting = asyncio.get_running_loop(), asyncio.current_task(), True

    def cancel(_: asyncio.Future[str]) -> None:
        if starting and task is not None:
            task.cancel()

    stopping.add_done_callback(cancel)
    try:
        await server.start()
    except asyncio.CancelledError:
        if not stopping.done() or task is None:
            raise
        task.uncancel()
        loop.set_default_executor(ThreadPoolExecutor(1))  # asyncio.run would wait for the threads of the other one
        return False
    finally:
        starting = False
    return True


async def _watch(server: Server, guard: LoopGuard) -> None:
    def report(workers: list[int]) -> None:
        guard.shorten(END_CHECKS)  # the stop waits for every worker
        server.report_stuck(workers)

    await Watchdog(guard, read_turns=server.worker_turns, report=report).run()


async def _beat(guard: LoopGuard) -> None:
    """Keep the guard content during the stop, for as long as the event loop runs."""
    while True:
        guard.beat()
        await asyncio.sleep(INTERVAL)


async def _first_of(stopping: asyncio.Future[str], failure: asyncio.Task[str]) -> str:
    """Returns why the server ends: the name of a signal, or the text of a failure."""
    done, _ = await asyncio.wait((stopping, failure), return_when=asyncio.FIRST_COMPLETED)
    return (stopping if stopping in done else failure).result()


def _freeze_long_lived_objects() -> None:
    """Exclude the long-lived objects (modules, schemas, tables) from garbage collection, and collect less often.

    Each full collection would otherwise stop logins for tens of milliseconds. A login makes about 50 objects that
    stay, and hardly a cycle. The start leaves some hundred kilobytes of garbage, which are not worth the fifth of a
    second that a collection takes: they stay.
    """
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    gc.enable()  # the command line switches it off


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Turns the errors of all layers into ``OperatorError``."""
    try:
        yield
    except OperatorError:
        raise
    except PolicyError as error:
        raise StartError("\n".join(map(str, error.problems))) from error
    except ImportError as error:
        raise StartError(f"a native core cannot be loaded ({error}): build it with 'make build'") from error
    except OSError as error:
        raise StartError(describe_os_error(error)) from error
    except Exception as error:
        raise StartError(" ".join(str(error).split()) or type(error).__name__) from error


def _watch_stop_signals(early: Sequence[int]) -> asyncio.Future[str]:
    """Returns a future of the first stop signal's name, which may be one of ``early``. Later signals change nothing."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[str] = loop.create_future()

    def stop(name: str) -> None:
        if not stopping.done():
            stopping.set_result(name)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number.name)
        if number in early:
            stop(number.name)
    return stopping


def _watch_reload_signal(server: Server, early: Sequence[int]) -> asyncio.Task[None]:
    """Reload at SIGHUP. Signals during a reload cause one more reload, and so do those that came ``early``."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    if signal.SIGHUP in early:
        asked.set()

    async def reload_when_asked() -> None:
        while True:
            await asked.wait()
            asked.clear()
            systemd.notify_reloading()
            await server.reload()
            systemd.notify_ready("serving")

    return asyncio.create_task(reload_when_asked(), name="reloads")
