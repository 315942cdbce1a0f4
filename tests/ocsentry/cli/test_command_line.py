# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line without a server: commands on files and the database work, the others fail on one line."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from lab.timeouts import TIMEOUT
from ocsentry.cli.app import PARTS, build_app, find_command
from vpn_frontend.auth.totp.codes import code_at, step_at

BLOCK_RULE = {
    "wolfsentry": {"version": "1.6.3", "rules": [{"id": "b", "type": "blacklist", "remote_addr": "198.51.100.0/24"}]}
}


def test_init_makes_what_serve_accepts(bare_command_line):
    made = bare_command_line.json("init", "--dir", bare_command_line.folder, "--demo")
    assert made["token"].startswith("ocs_")
    assert made["user"]["name"] == "demo"
    assert bare_command_line.json("serve", "--check") == {"problems": []}
    assert [token["name"] for token in bare_command_line.json("token", "list")] == ["init"]
    assert [user["name"] for user in bare_command_line.json("user", "list")] == ["demo"]


def test_init_shows_how_to_connect(bare_command_line):
    said = bare_command_line.ok("init", "--dir", bare_command_line.folder, "--demo", "--port", "4999")
    lines = [line for line in said.splitlines() if "openconnect" in line]
    assert len(lines) == 1
    assert lines[0].endswith("https://ADDRESS-OF-THIS-MACHINE:4999")
    assert "--servercert pin-sha256:" in lines[0]


@pytest.mark.parametrize("found", [None, "/usr/bin/ocsentry"], ids=["inactive environment", "on the path"])
def test_init_names_the_program_as_the_shell_finds_it(bare_command_line, monkeypatch, found):
    monkeypatch.setattr("shutil.which", lambda _: found)
    monkeypatch.setattr("sys.argv", ["some where/bin/ocsentry"])
    said = bare_command_line.ok("init", "--dir", bare_command_line.folder, "--demo")
    program = "ocsentry" if found else f"'{Path.cwd()}/some where/bin/ocsentry'"
    assert f"\n  {program} demo --config {bare_command_line.config}\n" in said


def test_init_overwrites_nothing(command_line):
    before = command_line.config.read_text()
    said = command_line.fails("init", "--dir", command_line.folder)
    assert "exists already" in said
    assert command_line.config.read_text() == before


def test_files_of_init_are_not_readable_by_others(bare_command_line):
    assert bare_command_line.run_program("init", "--dir", bare_command_line.folder).returncode == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in bare_command_line.folder.rglob("*") if path.is_file()}
    assert modes["server.key"] == 0o600
    assert modes["ocsentry.db"] & 0o007 == 0
    assert modes["ocsentry.toml"] & 0o007 == 0


def test_a_user_is_enrolled_for_one_time_passwords(command_line):
    command_line.ok("user", "add", "alice", "--password-stdin", stdin="secret one\n")
    said = command_line.ok("user", "totp", "enrol", "alice")
    secret, uri = re.search(r"^secret  (\w+)\nURI     (\S+)$", said, re.MULTILINE).groups()
    assert f"secret={secret}" in uri
    assert (command_line.folder / "totp.key").stat().st_mode & 0o777 == 0o600
    assert "pending" in command_line.ok("user", "totp", "show", "alice")
    assert "the code is wrong" in command_line.fails("user", "totp", "confirm", "alice", "abcdef")
    code = code_at(base64.b32decode(secret), step_at(time.time()))
    codes = re.findall(r"^  ([A-Z2-7]{8})$", command_line.ok("user", "totp", "confirm", "alice", code), re.MULTILINE)
    assert len(codes) == 10
    assert command_line.json("user", "totp", "show", "alice")["state"] == "active"
    assert "enrolled already" in command_line.fails("user", "totp", "enrol", "alice")
    command_line.ok("user", "totp", "reset", "alice")
    assert command_line.json("user", "totp", "show", "alice")["state"] == "none"


def test_a_key_that_others_may_read_is_a_problem(command_line):
    key = command_line.folder / "totp.key"
    key.write_text("00" * 32)
    key.chmod(0o644)
    assert f"auth.totp.key_file: {key}: others than its owner" in command_line.fails("serve", "--check")


def test_users_are_added_changed_and_deleted(command_line):
    command_line.ok(
        "user", "add", "alice", "--password-stdin", "--group", "staff", "--group", "admins", stdin="secret one\n"
    )
    command_line.ok(
        "user",
        "add",
        "bob",
        "--password-stdin",
        "--max-same-clients",
        "3",
        "--ipv4",
        "192.168.99.50",
        stdin="secret two\n",
    )
    alice, bob = command_line.json("user", "list")
    assert alice["groups"] == ["staff", "admins"]
    assert (bob["max_same_clients"], bob["ipv4"]) == (3, "192.168.99.50")
    assert command_line.json("user", "passwd", "bob", "--password-stdin", stdin="new\n")["ipv4"] == "192.168.99.50"
    command_line.ok("user", "del", "alice")
    assert [user["name"] for user in command_line.json("user", "list")] == ["bob"]
    assert "alice" in command_line.fails("user", "del", "alice")


def test_lists_are_tables(command_line):
    assert command_line.ok("user", "list") == "no users\n"
    command_line.ok("user", "add", "alice", "--password-stdin", stdin="secret one\n")
    head, row = command_line.ok("user", "list").splitlines()
    assert head.split()[:2] == ["NAME", "ENABLED"]
    assert row.split()[:2] == ["alice", "yes"]


@pytest.mark.parametrize("stdin", ["", "\n", "x" * 1025 + "\n"])
def test_invalid_passwords(command_line, stdin):
    assert "password" in command_line.fails("user", "add", "alice", "--password-stdin", stdin=stdin)


def test_without_a_terminal_there_is_no_password_prompt(command_line):
    assert "--password-stdin" in command_line.fails("user", "add", "alice", stdin="secret\n")


def test_users_are_imported_from_ocpasswd_with_their_passwords(command_line, tmp_path):
    crypted = subprocess.run(
        ["openssl", "passwd", "-5", "secret"], capture_output=True, text=True, check=True
    ).stdout.strip()
    file = tmp_path / "ocpasswd"
    file.write_text(f"carol:staff:{crypted}\ndan:*:!{crypted}\n")
    assert command_line.json("user", "import", file) == {"added": ["carol", "dan"], "skipped": 0}
    carol, dan = command_line.json("user", "list")
    assert (carol["groups"], carol["enabled"], dan["enabled"]) == (["staff"], True, False)
    assert command_line.json("user", "import", file) == {"added": [], "skipped": 2}
    file.write_text(f"erin:*:plain\nDOMAIN\\frank:*:{crypted}\n")
    assert f"{file}: line 1: the hash of user 'erin'" in command_line.fails("user", "import", file)
    assert command_line.json("user", "show", "DOMAIN\\frank")["name"] == "DOMAIN\\frank"


def test_tokens_are_made_listed_and_revoked(command_line):
    made = command_line.json(
        "token", "create", "grafana", "--scope", "metrics:read", "--scope", "status:read", "--ttl", "30d"
    )
    assert made["token"].startswith(f"ocs_{made['id']}_")
    assert made["expires_at"] is not None
    listed = {token["id"]: token for token in command_line.json("token", "list")}
    assert listed[made["id"]]["scopes"] == ["metrics:read", "status:read"]
    assert "token" not in listed[made["id"]]
    command_line.ok("token", "revoke", made["id"])
    assert made["id"] not in {token["id"] for token in command_line.json("token", "list")}
    command_line.fails("token", "revoke", made["id"])
    assert "scope" in command_line.fails("token", "create", "x", "--scope", "everything:please").lower()


def test_rules_are_checked_and_explained_without_a_server(command_line, tmp_path):
    assert command_line.json("rules", "check")["problems"] == []
    verdict = command_line.json("rules", "explain", "192.0.2.7")["verdict"]
    assert (verdict["action"], verdict["rule_id"]) == ("reject", "documentation-only")
    assert "= reject (rule" in command_line.ok("rules", "explain", "192.0.2.7")
    bad = tmp_path / "bad.json"
    bad.write_text(
        json.dumps(
            {
                "wolfsentry": {
                    "version": "1.6.3",
                    "rules": [{"id": "x", "type": "blacklist", "remote_addr": "10.0.0.1/8"}],
                }
            }
        )
    )
    said = command_line.fails("rules", "check", bad)
    assert str(bad) in said
    assert "/wolfsentry/rules/0" in said
    assert "nonsense" in command_line.fails("rules", "explain", "nonsense")


def test_a_rule_file_is_imported_atomically(command_line, tmp_path):
    file = tmp_path / "30-block.json"
    file.write_text(json.dumps(BLOCK_RULE))
    command_line.ok("rules", "import", file)
    assert command_line.json("rules", "explain", "198.51.100.9")["verdict"]["rule_id"] == "b"
    assert "--force" in command_line.fails("rules", "import", file)
    file.write_text("{")
    command_line.fails("rules", "import", file, "--force")
    assert command_line.json("rules", "explain", "198.51.100.9")["verdict"]["rule_id"] == "b"


def test_the_schema_is_the_engines(command_line):
    assert "wolfsentry" in command_line.json("rules", "schema")["properties"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",), ("blocks",), ("block", "192.0.2.1"), ("unblock", "192.0.2.1"), ("sessions",), ("sessions", "list"),
        ("sessions", "kill", "abc"), ("events", "--follow"), ("rules", "reload"),
    ],
)  # fmt: skip
def test_commands_that_need_a_server_say_so(command_line, arguments):
    done = command_line.run(*arguments)
    assert done.returncode == 3
    assert (
        done.stderr
        == f"ocsentry: no server answers at {command_line.folder}/admin.sock (start one with 'ocsentry serve')\n"
    )


@pytest.mark.parametrize("cidr", ["nonsense", "10.0.0.1/8", "300.1.1.1", "::1%lo"])
def test_a_malformed_network_is_refused_without_a_server(command_line, cidr):
    assert "no server" not in command_line.fails("block", cidr)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("user", "add"), "Missing argument"),
        (("no-such-command",), "No such command"),
        (("user", "add", "x", "--no-such-option"), "No such option"),
        (("init", "--port", "70000"), "--port"),
        (("--config", "/nowhere.toml", "user", "list"), "/nowhere.toml"),
        (("user", "list", "--config", "/nowhere.toml"), "/nowhere.toml"),
    ],
)
def test_wrong_usage_is_one_line(command_line, arguments, said):
    told = command_line.fails(*arguments)
    assert said in told
    assert "\n" not in told


def test_a_broken_configuration_names_every_key(command_line):
    command_line.config.write_text(command_line.config.read_text() + "\n[log]\nlevel = 'loud'\ncolour = 'red'\n")
    lines = command_line.fails("user", "list").splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == ["log.level", "log.colour"]


def test_the_doctor_finds_problems(command_line):
    (command_line.folder / "server.key").chmod(0o644)
    (command_line.folder / "rules" / "bad.json").write_text("{")
    done = command_line.run("doctor", "--json")
    findings = {finding["check"]: finding for finding in json.loads(done.stdout) if finding["level"] == "fail"}
    assert done.returncode == 1
    assert findings["private key"]["command"] == f"chmod 600 {command_line.folder}/server.key"
    assert "bad.json" in findings["rules"]["detail"]


def test_the_doctor_says_why_an_ocsp_response_is_not_sent(command_line):
    text = command_line.config.read_text()
    command_line.config.write_text(text.replace("[vpn]\n", '[vpn]\nocsp_response = "server.ocsp"\n', 1))
    (command_line.folder / "server.ocsp").write_bytes(b"junk")
    rows = json.loads(command_line.run("doctor", "--json").stdout)
    [finding] = [row for row in rows if row["check"] == "OCSP response server.ocsp"]
    assert (finding["level"], finding["detail"]) == (
        "fail", "not stapled: no OCSP response of one certificate in DER form"
    )  # fmt: skip


def test_the_doctor_sees_a_udp_port_that_its_owner_would_share(command_line):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{held.getsockname()[1]}"
        text = command_line.config.read_text()
        command_line.config.write_text(re.sub(r"(?m)^listen = .*", f'listen = "{endpoint}"', text, count=1))
        done = command_line.run("doctor", "--json")
    findings = {finding["check"]: finding["level"] for finding in json.loads(done.stdout)}
    assert findings[f"UDP {endpoint}"] == "fail"


def test_the_doctor_says_what_the_kernel_drops(command_line, monkeypatch):
    text = command_line.config.read_text()
    command_line.config.write_text(text.replace("[policy]\n", '[policy]\nkernel = "nftables"\n'))

    def finding():
        rows = json.loads(command_line.run("doctor", "--json").stdout)
        return next(row for row in rows if row["check"] == "packet filter")

    assert "no server runs" in finding()["detail"]
    monkeypatch.setattr("ocsentry.privileges.packet_filter.libnftables.LIBRARY", "libmissing.so.1")
    assert finding()["level"] == "fail"
    assert "libnftables1" in finding()["detail"]


def test_the_doctors_fixes_for_forwarding_are_independent(command_line, monkeypatch, tmp_path):
    off = tmp_path / "off"
    off.write_text("0\n")
    monkeypatch.setattr("ocsentry.setup.checks.network.FORWARDING", {"IPv4": off, "IPv6": off})
    findings = json.loads(command_line.run("doctor", "--json").stdout)
    fixes = [finding["command"] for finding in findings if finding["check"].endswith("forwarding")]
    assert len(fixes) == 2
    assert all(" >> /etc/sysctl.d/" in fix for fix in fixes)


def test_check_names_every_problem(command_line):
    (command_line.folder / "server.crt").unlink()
    (command_line.folder / "rules" / "bad.json").write_text("{")
    said = command_line.fails("serve", "--check")
    assert "server.crt" in said
    assert "bad.json" in said


def test_starting_without_a_certificate_is_one_line(command_line):
    (command_line.folder / "server.crt").unlink()
    done = command_line.run_program("serve")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "server.crt" in line]
    assert "Traceback" not in done.stderr + done.stdout


def test_help_starts_without_the_heavy_libraries():
    program = (
        "import sys; from ocsentry.cli.app import build_app; build_app();"
        "print([name for name in ('fastapi', 'sqlalchemy', 'httpx', 'uvicorn', 'cryptography') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_program_reports_failures_on_one_line(command_line):
    done = command_line.run_program("status")
    assert done.returncode == 3
    assert done.stderr.startswith("ocsentry: no server answers")
    assert command_line.run_program("user", "list", "--json").stdout == "[]\n"
    assert "Usage" in command_line.run_program().stdout


def test_the_first_words_of_a_new_user_are_understood(command_line):
    assert re.fullmatch(r"ocsentry \d+\.\d+\.\d+\S*\n", command_line.ok("--version"))
    assert command_line.ok("-h") == command_line.ok("--help")
    assert " block [OPTIONS] {CIDR}" in command_line.ok("block", "-h")
    assert " users list [OPTIONS]" in command_line.ok("users", "list", "-h")


@pytest.mark.parametrize(
    ("arguments", "said"), [(("status",), "no server answers"), (("user", "add"), "Missing argument")]
)
def test_an_error_is_json_where_json_is_asked_for(command_line, arguments, said):
    done = command_line.run(*arguments, "--json")
    told = json.loads(done.stderr)
    assert said in told["error"]
    assert told["exit_code"] == done.returncode != 0


def test_every_command_has_help_and_takes_json(command_line):
    app = build_app()
    groups = [((), app), *(((group.name,), group.typer_instance) for group in app.registered_groups)]
    commands = [(*path, command.name) for path, group in groups for command in group.registered_commands]
    assert len(commands) > 20
    for command in commands:
        if command in {
            ("serve",),
            ("user", "import"),
            ("rules", "explain"),
        }:  # a sample: each run starts an interpreter
            said = command_line.ok(*command, "--help")
            assert "--json" in said
            assert "--config" in said
    for path, group in groups:
        for command in group.registered_commands:
            assert (command.callback.__doc__ or "").strip(), (*path, command.name)


def test_recorded_decisions_are_replayed(command_line, tmp_path):
    rules, record = tmp_path / "new.json", tmp_path / "record"
    rules.write_text(json.dumps(BLOCK_RULE))
    fields = {"event": "connect", "verdict": "accept", "reason": "default"}
    rows = [
        {"kind": "decision", "at": "2026-01-01T10:00:00Z", "fields": {"address": address, **fields}}
        for address in ("198.51.100.7", "192.0.2.1")
    ]
    record.write_text("\n".join(map(json.dumps, rows)))
    (change,) = command_line.json("rules", "simulate", rules, "--record", record)
    assert (change["address"], change["after"]) == ("198.51.100.7", "reject (rule, rule b)")
    assert "1 of 2 decisions would change" in command_line.ok("rules", "simulate", rules, "--record", record)
    record.write_text("nonsense")
    assert "not a record of decisions" in command_line.fails("rules", "simulate", rules, "--record", record)


def test_help_loads_no_part_of_the_server():
    """A command loads what it needs when it runs."""
    heavy = {"sqlalchemy", "fastapi", "rich.traceback"}
    code = f"import sys, ocsentry.cli.app; print({heavy} & sys.modules.keys() or 'none')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    assert done.stdout == "none\n"


def test_a_command_is_found_without_the_modules_of_the_others():
    """The table of words and the modules that add them agree, so that a known word needs one module."""
    whole = {word for part in PARTS for word in part.words}
    assert set(typer.main.get_command(build_app()).commands) == whole
    for word in sorted(whole):
        alone = typer.main.get_command(build_app(word)).commands
        assert word in alone
        assert set(alone) == {one for part in PARTS if word in part.words for one in part.words}
    code = (
        "import sys; from ocsentry.cli.app import build_app; build_app('serve');"
        "print(sorted(name for name in sys.modules if name.startswith('ocsentry.cli.commands.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    assert done.stdout == "['ocsentry.cli.commands.service']\n"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ("serve --check", "serve"),
        ("--config status serve", "serve"),
        ("-c status --json serve", "serve"),
        ("--config=status serve", "serve"),
        ("nonsense serve", "nonsense"),
        ("--help serve", None),
        ("--json -h serve", None),
        ("--version", None),
        ("--config", None),
        ("", None),
    ],
)
def test_the_command_is_the_first_word_that_is_no_option(arguments, word):
    assert find_command(arguments.split()) == word
