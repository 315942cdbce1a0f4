# SPDX-License-Identifier: GPL-3.0-or-later
"""Words, options and exit codes; where Debian's occtl can say something without a server, beside it."""

from __future__ import annotations

import io
import socket
import subprocess
from types import SimpleNamespace

import pytest

from ocsentry.cli.app import main
from ocsentry.occtl.figures import show_bytes, show_interval, show_seconds
from ocsentry.occtl.program import run_occtl
from ocsentry.occtl.words import Verb, find_command, lacks_argument


@pytest.mark.parametrize(
    ("line", "verb", "argument"),
    [
        ("show status", Verb.SHOW_STATUS, ""),
        ("  SHOW   Stat ", Verb.SHOW_STATUS, ""),
        ("s", Verb.SHOW_STATUS, ""),
        ("show user", Verb.SHOW_USERS, ""),
        ("show user Alice B", Verb.SHOW_USER, "Alice B"),
        ("show ip bans points", Verb.SHOW_IP_BANS, "points"),
        ("show ip ban points", Verb.SHOW_IP_BAN_POINTS, ""),
        ("show session", Verb.SHOW_SESSIONS_ALL, ""),
        ("show session 0a1b", Verb.SHOW_SESSION, "0a1b"),
        ("show cookies valid", Verb.SHOW_SESSIONS_VALID, ""),
        ("stop now", Verb.STOP, "now"),
        ("terminate session ab", Verb.TERMINATE_SESSION, "ab"),
        ("?", Verb.HELP, ""),
        ("quit", Verb.EXIT, ""),
    ],
)
def test_a_line_names_a_command(line, verb, argument):
    command, given = find_command(line)
    assert (command.verb, given) == (verb, argument)


@pytest.mark.parametrize("line", ["", "  ", "showstatus", "foo", "show statusx"])
def test_what_names_no_command(line):
    found = find_command(line)
    assert found is None or line == "show statusx"


@pytest.mark.parametrize(("line", "lacks"), [("disconnect user", True), ("show id ?", True), ("reload", False)])
def test_the_help_of_one_command(line, lacks):
    assert lacks_argument(*find_command(line)) is lacks


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "   ?   "), (0, "    0s"), (28.9, "   28s"), (60, "   60s"), (94, " 1m:34s"), (147_960, "41h:06m"),
     (172_800, " 2days"), (10**7, "115days")],
)  # fmt: skip
def test_intervals(seconds, shown):
    assert show_interval(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (1000, "1000 bytes"), (1234, "1.2 kB"), (3_400_000, "3.4 MB"), (20_400_000_000, "20.4 GB")],
)
def test_sizes(count, shown):
    assert show_bytes(count) == shown
    assert show_bytes(count, "/s") == f"{shown}/s"


@pytest.mark.parametrize(("seconds", "shown"), [(0, "<1ms"), (0.12, "120ms"), (3.9, "3s")])
def test_durations(seconds, shown):
    assert show_seconds(seconds) == shown


def reference(*arguments):
    return subprocess.run(["occtl", *arguments], capture_output=True, text=True, check=False, timeout=10)


@pytest.mark.parametrize("arguments", [["foo"], ["-s", "/nonexistent", "show", "users"], ["-h"], ["-v"]])
def test_exit_codes_and_streams_are_those_of_debians_tool(arguments, capsys):
    theirs = reference(*arguments)
    assert run_occtl(arguments) == theirs.returncode
    mine = capsys.readouterr()
    assert bool(mine.out) == bool(theirs.stdout)
    assert bool(mine.err) == bool(theirs.stderr)


def test_every_command_of_debians_help_is_in_ours(capsys):
    run_occtl(["--help"])
    mine = {line.split("\t")[0].strip() for line in capsys.readouterr().out.splitlines() if "\t" in line}
    theirs = {line.split("\t")[0].strip() for line in reference("--help").stdout.splitlines() if "\t" in line}
    assert theirs - mine == set()


def test_the_version_is_on_standard_error(capsys):
    assert run_occtl(["--version"]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("OpenConnect server control (occtl) version ")
    assert second.startswith("Copyright")


def test_without_a_server_the_status_is_offline(tmp_path, capsys):
    socket = str(tmp_path / "none.sock")
    assert run_occtl(["-s", socket, "-j", "show", "status"]) == 1
    said = capsys.readouterr()
    assert said.out == '  {\n    "Status":  "offline"\n  }\n'
    assert socket in said.err
    assert run_occtl([f"--socket-file={socket}", "-n", "--debug", "show", "status"]) == 1
    assert capsys.readouterr().out == "\tStatus: offline\n"


@pytest.mark.parametrize("arguments", [["-x"], ["-s"], ["--jsonx", "show", "status"]])
def test_unknown_options_fail(arguments, capsys):
    assert run_occtl(arguments) == 1
    assert "OPTIONS" in capsys.readouterr().err


def test_the_prompt_reads_commands_until_it_is_told_to_exit(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO("\nhelp\nnonsense\nexit\nhelp\n"))
    assert run_occtl(["-s", str(tmp_path / "none.sock")]) == 1, "the code of the last command"
    said = capsys.readouterr()
    assert said.out.count("Available Commands") == 1
    assert "unknown command: nonsense" in said.err
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run_occtl([]) == 0


def test_it_is_a_command_and_a_name_of_the_program(command_line, monkeypatch, capsys):
    done = command_line.run("occtl", "-j", "show", "status")
    assert done.returncode == 1
    assert str(command_line.folder / "admin.sock") in done.stderr, "the socket of the configuration"
    monkeypatch.setattr("sys.argv", ["/usr/bin/occtl", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "occtl" in capsys.readouterr().err


@pytest.mark.parametrize("process", [0, 1])
def test_a_server_that_is_not_visible_gets_no_signal(process, tmp_path, capsys, monkeypatch):
    """A signal to process 0 would go to occtl's own process group."""
    sent = []
    monkeypatch.setattr("os.kill", lambda *what: sent.append(what))
    credentials = SimpleNamespace(size=12, unpack=lambda _: (process, 0, 0))
    monkeypatch.setattr("ocsentry.api_client.client.CREDENTIALS", credentials)
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert run_occtl(["-s", str(path), "stop", "now"]) == 1
    assert "not visible" in capsys.readouterr().err
    assert sent == []
