# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import signal
import time

import pytest
from jsonschema import Draft202012Validator

from tests.ocsentry.occtl.conftest import ALICE
from tests.ocsentry.occtl.schemas import COLUMNS, DASHBOARD_ROWS, EXPORTER_STATUS, EXPORTER_USER, SCHEMAS


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def show(occtl):
    def run(line):
        code, out, err = occtl(line, as_json=True)
        assert err == ""
        return code, json.loads(out)

    return run


@pytest.mark.parametrize("line", SCHEMAS)
def test_every_output_is_of_its_schema(show, line):
    code, document = show(line)
    assert code == 0
    Draft202012Validator(SCHEMAS[line]).validate(document)
    assert document


def test_the_fields_of_the_exporter_have_its_types(show):
    _, status = show("show status")
    assert {name: type(status[name]) for name in EXPORTER_STATUS} == EXPORTER_STATUS
    _, users = show("show users")
    for user in users:
        assert {name: type(user[name]) for name in EXPORTER_USER} == EXPORTER_USER
        assert int(user["MTU"]) > 0


@pytest.mark.parametrize("line", DASHBOARD_ROWS)
def test_the_fields_of_dashboards_have_their_types(show, line):
    fields, (_, rows) = DASHBOARD_ROWS[line], show(line)
    assert rows
    for row in rows:
        assert {name: type(row[name]) for name in fields} == fields
    assert type(show("show status")[1]["uptime"]) is int


@pytest.mark.parametrize("line", COLUMNS)
def test_readers_of_the_text_find_their_columns(occtl, line):
    _, text, _ = occtl(line)
    head, *rows = text.splitlines()
    assert rows
    for row in rows:
        assert len(row.split()) >= COLUMNS[line], head


def test_the_status(show, occtl):
    _, status = show("show status")
    assert (status["Up since"], status["_Up since"]) == ("2029-12-30 09:30", " 5days")
    assert (status["Active sessions"], status["Total sessions"], status["IPs in ban list"]) == (2, 12, 2)
    assert (status["RX"], status["raw_rx"], status["TX"]) == ("1.2 MB", 1_234_567, "20.4 GB")
    assert (status["Average auth time"], status["Max auth time"]) == ("120ms", "3s")
    assert (status["_Last stats reset"], status["Average session time"]) == (" 3days", " 1h:02m")
    _, text, _ = occtl("show status")
    assert text.startswith("Note: the printed statistics are not real-time; session time\n")
    assert "\nGeneral info:\n\tStatus: online\n\tServer PID: 4711\n" in text
    assert "\tUp since: 2029-12-30 09:30 ( 5days)\n\tActive sessions: 2\n" in text
    assert "\n\nCurrent stats period:\n\tLast stats reset: 2030-01-01 09:30 ( 3days)\n" in text
    assert text.endswith("\tRX: 1.2 MB\n\tTX: 20.4 GB\n")
    assert "raw_" not in text


def test_the_table_of_users_has_the_columns_of_ocserv(occtl):
    code, text, _ = occtl("show users")
    assert code == 0
    assert text.splitlines() == [
        "      id     user    vhost             ip         vpn-ip device   since    dtls-cipher    status",
        (
            "       7    alice  default   198.51.100.7   192.168.99.2   ocs0  1m:34s "
            "(DTLS1.2)-(PSK)-(AES-256-GCM) connected"
        ),
        "       8      bob   b.test   198.51.100.7   192.168.99.2   ocs0   2days      (no-dtls) connected",
    ]


def test_a_user_in_text(occtl):
    code, text, _ = occtl("show user alice")
    assert code == 0
    for line in (
        "\tID: 7",
        "\tUsername: alice   Groupname: staff",
        "\tDevice: ocs0   MTU: 1400",
        "\tRemote IP: 198.51.100.7   Location: unknown",
        "\tIPv4: 192.168.99.2   P-t-P IPv4: 192.168.99.1",
        "\tLimit RX: 1.2 MB/s",
        "\tRX: 100 (100 bytes)   TX: 200 (200 bytes)",
        "\tAverage bandwidth RX: 0 bytes/s  TX: 0 bytes/s",
        "\tDPD: 90   KeepAlive: 32400",
        "\tLast connected at: 2030-01-04 09:28 ( 1m:34s)",
        "\tSession started at: 2030-01-02 15:30 (42h:00m)",
        "\tSession: 0a1b2c",
        "\tTLS ciphersuite: (TLS1.3)-(AES-256-GCM)",
        "\tRoutes: 10.0.0.0/255.0.0.0",
        "\t\t2001:db8::/32",
        "\tRestricted to ports: tcp(443), icmp()",
    ):
        assert line in text.splitlines()
    assert "Full session" not in text


def test_a_full_tunnel_is_the_default_route_and_no_group_has_a_word(show):
    _, [bob] = show("show user bob")
    assert (bob["Routes"], bob["Groupname"], bob["Restricted to routes"]) == ("defaultroute", "(none)", "False")


@pytest.mark.parametrize("line", ["show user nobody", "show id 99", "show id x"])
def test_a_user_that_is_not_there(occtl, line):
    assert occtl(line) == (2, "user or ID not found\n", "")
    assert occtl(line, as_json=True) == (2, "[\n]\n", "")


def test_sessions_are_those_that_clients_may_come_back_to(show, occtl):
    _, sessions = show("show sessions all")
    states = [(one["Username"], one["session_is_open"], one["in_use"], one["tls_auth_ok"]) for one in sessions]
    assert states == [("alice", 1, 1, 1), ("bob", 1, 1, 0), ("carol", 1, 0, 0), ("dave", 0, 0, 0)]
    assert sessions[3]["Expires"] == "2030-01-04 09:35"
    assert show("show sessions valid")[1] == sessions
    _, text, _ = occtl("show sessions all")
    header, first = text.splitlines()[:2]
    assert header.split() == ["session", "user", "vhost", "ip", "user", "agent", "created", "status"]
    assert first.split()[:4] == ["0a1b2c", "alice", "default", "198.51.100.7"]
    assert occtl("show session nothing") == (0, "Session ID not found or expired\n", "")
    assert [one["Username"] for one in show("show session 0a1b")[1]] == ["alice", "carol"]


def test_bans_are_penalties_and_blocks(show, occtl):
    assert show("show ip bans")[1] == [
        {"IP": "198.51.100.7", "Since": "2030-01-04 09:35", "_Since": " 5m:00s", "Score": 2},
        {"IP": "203.0.113.0/24", "Since": "without end", "_Since": "   ?   ", "Score": 0},
    ]
    points = [{"IP": "198.51.100.7", "Score": 23}, {"IP": "2001:db8::/64", "Score": 1}]
    assert show("show ip ban points")[1] == points
    assert occtl("show ip bans")[1].splitlines()[0] == "            IP          score                        expires"


def test_without_rows_there_is_no_header(server, occtl):
    server.lists = {name: [] for name in server.lists}
    for line in ("show users", "show sessions all", "show ip bans", "show ip ban points", "show iroutes"):
        assert occtl(line) == (0, "", "")
        assert occtl(line, as_json=True) == (0, "[\n]\n", "")


@pytest.mark.parametrize(
    ("line", "code", "said", "sent"),
    [
        (
            "disconnect user alice",
            0,
            "user 'alice' was disconnected",
            [(f"sessions/{ALICE.id}", {})],  # without persistent-cookies
        ),
        ("disconnect user nobody", 1, "could not disconnect user 'nobody'", []),
        (
            "disconnect id 8",
            0,
            "connection ID '8' was disconnected",
            [("sessions/ffee00112233", {"keep_cookie": True})],
        ),
        ("disconnect id 1", 1, "could not disconnect ID '1'", []),
        ("terminate user dave", 0, "user 'dave' was terminated (session invalidated)", [("sessions/beef00", {})]),
        ("terminate user nobody", 1, "could not terminate user 'nobody'", []),
        ("terminate id 9", 0, "connection ID '9' was terminated (session invalidated)", [("sessions/0a1bffff", {})]),
        ("terminate session ff", 0, "session 'ffee00' was terminated", [("sessions/ffee00112233", {})]),
        ("terminate session 0a1b", 1, "'0a1b' matches 2 sessions", []),
        ("terminate session x", 1, "no session matching 'x' was found", []),
        ("unban ip 198.51.100.7", 0, "IP '198.51.100.7' was unbanned", [("penalties", {"network": "198.51.100.7"})]),
        ("unban ip 192.0.2.1", 1, "could not unban IP '192.0.2.1'", [("penalties", {"network": "192.0.2.1"})]),
        ("reset", 0, "", [("sessions/statistics", {})]),
        ("stop later", 1, "say 'stop now'", []),
    ],
)
def test_actions(occtl, server, line, code, said, sent):
    assert occtl(line) == (code, f"{said}\n" if said else "", "")
    assert server.sent == sent


def test_an_address_that_is_none_is_told(occtl, server):
    assert occtl("unban ip nonsense") == (1, "", "Cannot parse IP: nonsense\n")
    assert server.sent == []


def test_a_block_of_the_address_ends_with_the_ban(occtl, server):
    server.lists["blocks"] = [{"id": "block:2", "cidr": "192.0.2.1/32", "expires_at": None}]
    assert occtl("unban ip 192.0.2.1")[0] == 0
    assert server.sent[-1] == ("blocks/block:2", {})


@pytest.mark.parametrize(
    ("line", "number", "said"),
    [("reload", signal.SIGHUP, "Server scheduled to reload"), ("stop now", signal.SIGTERM, "Server scheduled to stop")],
)
def test_the_server_gets_its_signal(occtl, monkeypatch, line, number, said):
    sent = []
    monkeypatch.setattr("os.kill", lambda *what: sent.append(what))
    assert occtl(line) == (0, f"{said}\n", "")
    assert sent == [(4711, number)]


def test_events_until_q(occtl, server):
    opened = {"kind": "session_opened", "fields": {"session": "ffee00112233", "user": "bob"}}
    closed = {"kind": "session_closed", "fields": {"session": "ffee00112233", "reason": "idle_timeout", "duration": 94}}
    server.events = [{"kind": "decision", "fields": {}}, opened, closed, closed]
    who = "user 'bob' (8) from 198.51.100.7 with IP 192.168.99.2"
    code, text, _ = occtl("show events", keys="xxxq")
    assert code == 0
    assert text.partition("Press 'q' or CTRL+C to quit\n\n")[2].splitlines() == [
        f"b.test: connected {who}",
        f"b.test: disconnect {who} (reason: idle timeout, time:  1m:34s)",
    ]
    _, text, _ = occtl("show events", keys="xxxq", as_json=True)
    first, _, rest = text.partition("Press 'q' or CTRL+C to quit\n\n")
    Draft202012Validator(SCHEMAS["show users"]).validate(json.loads(first))
    decoder = json.JSONDecoder()
    change, end = decoder.raw_decode(rest)
    Draft202012Validator(SCHEMAS["show users"]).validate(change)
    assert rest[end:].strip().startswith("[")


def test_what_clients_send_cannot_draw_on_the_terminal(occtl, server, show):
    server.lists["sessions"][0]["user_agent"] = 'a\x1b[2J"\n\u202eb'
    text = occtl("show user alice")[1]
    assert "\x1b" not in text
    assert '\tUser-Agent: a?[2J"??b\n' in text
    assert show("show user alice")[1][0]["User-Agent"] == 'a\x1b[2J"\n\u202eb'
