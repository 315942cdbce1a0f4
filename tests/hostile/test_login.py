# SPDX-License-Identifier: GPL-3.0-or-later
"""Login documents and forms that break XML, expand, nest, or carry what no client sends."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from lab.clients.cstp_client import Answer, log_in, login_request, open_tunnel, read_answer
from lab.server import PASSWORD
from lab.traffic.probes import open_tls

EXPANSION = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
AUTH = "<auth><username>carol</username><password>wrong</password></auth>"
DOCUMENTS = {
    "billion laughs": f'<!DOCTYPE c [<!ENTITY a0 "ha">{EXPANSION}]><config-auth type="auth-reply">&a9;</config-auth>',
    "one entity of 30 000 letters": (
        f'<!DOCTYPE c [<!ENTITY a "{"a" * 30_000}">]><config-auth type="auth-reply">{"&a;" * 5000}</config-auth>'
    ),
    "external entity": '<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/passwd">]><config-auth>&x;</config-auth>',
    "external DTD": '<!DOCTYPE c SYSTEM "http://192.0.2.1/x.dtd"><config-auth type="init"/>',
    "parameter entity": '<!DOCTYPE c [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><config-auth type="init"/>',
    "empty DTD": '<!DOCTYPE config-auth><config-auth type="init"/>',
    "undefined entity": '<config-auth type="init">&nothing;</config-auth>',
    "depth of 5000": "<config-auth>" + "<a>" * 5000 + "</a>" * 5000 + "</config-auth>",
    "depth without an end": "<config-auth>" + "<a>" * 10_000,
    "5000 elements": '<config-auth type="init">' + "<a/>" * 5000 + "</config-auth>",
    "3000 attributes": "<config-auth " + " ".join(f'a{n}="1"' for n in range(3000)) + "/>",
    "attribute twice": '<config-auth type="init" type="auth-reply"/>',
    "element of 60 000 letters": "<" + "a" * 60_000 + "/>",
    "cut in an element": '<config-auth type="auth-rep',
    "two roots": '<config-auth type="init"/><config-auth type="init"/>',
    "crossing elements": "<config-auth><a><b></a></b></config-auth>",
    "nothing but a prolog": '<?xml version="1.0"?>',
    "prolog without an end": '<?xml version="1.0" ' + "a" * 5000,
    "NUL in the text": f'<config-auth type="auth-reply">\0{AUTH}</config-auth>',
    "character reference NUL": '<config-auth type="auth-reply"><auth><username>&#0;</username></auth></config-auth>',
    "character reference of 20 digits": "<config-auth>&#99999999999999999999;</config-auth>",
    "UTF-16 without a mark": f'<config-auth type="auth-reply">{AUTH}</config-auth>'.encode("utf-16-le"),
    "UTF-16 with a mark": f'<config-auth type="auth-reply">{AUTH}</config-auth>'.encode("utf-16"),
    "UTF-7": b'<?xml version="1.0" encoding="UTF-7"?>+ADw-config-auth type=+ACI-init+ACI-/+AD4-',
    "broken UTF-8": b'<config-auth type="auth-reply"><auth><username>\xc3\x28</username></auth></config-auth>',
    "overlong UTF-8": b'<config-auth type="auth-reply"><auth><username>\xc0\xaf</username></auth></config-auth>',
    "comment without an end": "<config-auth><!-- ",
    "CDATA without an end": "<config-auth><![CDATA[",
    "processing instruction": '<config-auth type="init"><?php system("id") ?></config-auth>',
    "user name of 10 000 letters": (
        f'<config-auth type="auth-reply"><auth><username>{"u" * 10_000}</username><password>x</password></auth>'
        "</config-auth>"
    ),
    "password of 50 000 letters": (
        f'<config-auth type="auth-reply"><auth><username>carol</username><password>{"p" * 50_000}</password></auth>'
        "</config-auth>"
    ),
    "JSON": '{"username": "carol"}',
    "form without a known field": "a=1&b=2",
    "form of 5000 fields": "&".join(f"f{n}=1" for n in range(5000)),
    "form with broken escapes": "username=%ff%fe&password=%zz",
    "noise": bytes(range(256)) * 20,
}  # fmt: skip
NAMES = {
    "empty": "",
    "a space": " ",
    "dots": "../../etc/passwd",
    "SQL": "carol' OR '1'='1",
    "a wildcard": "%",
    "a colon": "carol:x",
    "another case of a unicode letter": "carol\N{KELVIN SIGN}",
    "a right-to-left mark": "\N{RIGHT-TO-LEFT OVERRIDE}lorac",
    "a control sequence": "\x1b[2J\x1b]0;owned\x07carol",
    "a line end": "carol\nlogin_accepted",
    "64 letters more": "carol" + "x" * 64,
}


def post(arena, body: bytes) -> Answer | None:
    """Posts a login document; ``None``: the server closed without an answer."""
    head = f"POST / HTTP/1.1\r\nHost: vpn.example.org\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with open_tls(arena.attacker) as stream, suppress(ConnectionError):
        stream.sendall(head + body)
        return read_answer(stream)
    return None


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_hostile_document_opens_no_session(arena, document):
    answer = post(arena, document if isinstance(document, bytes) else document.encode())
    assert answer is None or answer.status in {200, 400, 413}
    if answer is not None:
        assert not any(value.startswith("webvpn=") and "expires" not in value.lower()
                       for value in answer.headers.get("set-cookie", []))  # fmt: skip
        assert b"root:" not in answer.body


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_strange_name_with_a_right_password_is_refused(arena, name):
    with suppress(ConnectionError):
        assert log_in(arena.attacker, name, PASSWORD) == ""


@pytest.mark.parametrize("name", ["a control sequence", "a line end"])
def test_a_strange_name_writes_no_line_of_its_own(arena, name):
    since = len(arena.server.program.lines)
    with suppress(ConnectionError):
        log_in(arena.attacker, NAMES[name], "wrong")
    log_in(arena.attacker, "mallory", "wrong")
    arena.server.program.await_line(r'"user": ?"mallory"', since=since)
    written = arena.server.program.lines[since:]
    assert all(line.text.startswith("{") and "\x1b" not in line.text for line in written)


@pytest.mark.parametrize("password", ["", " ", PASSWORD + "\0", PASSWORD.upper(), PASSWORD + " ", "\0" * 100])
def test_nearly_the_password_is_not_the_password(arena, password):
    with suppress(ConnectionError):
        assert log_in(arena.attacker, "carol", password) == ""


@pytest.mark.parametrize("context", ["A" * 43, "A" * 5000, "..", "\xe9", "a b", "'"])
def test_a_foreign_context_cookie_changes_nothing(arena, context):
    with open_tls(arena.attacker) as stream, suppress(ConnectionError):
        stream.sendall(login_request("carol", "wrong", context=context))
        assert read_answer(stream).status in {200, 400}


def test_the_last_attempt_is_the_last(arena):
    """The context cookie counts the failures of one login; the form is not shown after the last."""
    context, forms = "", 0
    for _ in range(3):
        with open_tls(arena.attacker) as stream:
            stream.sendall(login_request("carol", "wrong", context=context))
            answer = read_answer(stream)
        forms += b"<input" in answer.body
        values = [one for one in answer.headers.get("set-cookie", []) if one.startswith("webvpncontext=")]
        context = values[0].partition("=")[2].partition(";")[0] if values else context
    assert forms == 2


def test_a_refusal_does_not_tell_which_names_exist(arena):
    bodies = []
    for name in ("mallory", "no-such-user"):
        with open_tls(arena.attacker) as stream:
            stream.sendall(login_request(name, "wrong"))
            bodies.append(read_answer(stream).body)
    assert bodies[0] == bodies[1]


def test_a_burst_of_guesses_leaves_the_right_password_right(arena):
    with ThreadPoolExecutor(16) as pool:
        cookies = list(pool.map(lambda number: log_in(arena.attacker, f"guess{number % 5}", "wrong"), range(64)))
    assert cookies == [""] * 64
    began = time.monotonic()
    with arena.tunnel() as tunnel:
        assert tunnel.answers()
    assert time.monotonic() - began < 60


def test_a_login_that_leaves_before_its_answer(arena):
    for _ in range(20):
        with open_tls(arena.attacker) as stream:
            stream.sendall(login_request("carol", "wrong and gone"))
    with arena.tunnel() as tunnel:
        assert tunnel.answers()


def test_a_context_cookie_opens_no_tunnel(arena):
    with open_tls(arena.attacker) as stream:
        stream.sendall(login_request("carol", "wrong"))
        answer = read_answer(stream)
    (context,) = [one for one in answer.headers["set-cookie"] if one.startswith("webvpncontext=")]
    refused = open_tunnel(arena.attacker, context.partition("=")[2].partition(";")[0])
    assert isinstance(refused, Answer)
    assert refused.status == 401
