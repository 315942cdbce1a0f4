# SPDX-License-Identifier: GPL-3.0-or-later
"""ocserv's grammar: comments, continuations, sections, and every syntax error with its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.ocserv.grammar import MAX_ERRORS, MAX_FILE_BYTES, MAX_LINE_BYTES, Entry, parse


def entries(text: str) -> list[tuple[str, str]]:
    found = parse(text.encode())
    assert found.errors == ()
    return [(entry.key, entry.value) for entry in found.entries]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("key = value", "value"),
        ("key: value", "value"),
        ("key=value\r", "value"),
        ('key = "two words"', "two words"),
        ("key = value # a comment", "value"),
        ("key = value#no comment", "value#no comment"),
        ("key = value ; no comment", "value ; no comment"),
        ("key = # nothing", ""),
        ("key = a=b:c", "a=b:c"),
        ('key = say "hello"', 'say "hello'),
    ],
)
def test_values(line, value):
    assert entries(line) == [("key", value)]


def test_a_header_keeps_the_quotation_mark_at_its_end():
    headers = parse(b'included-http-headers = Clear-Site-Data: "cache","cookies"\nincluded-http-headers = "A: b"\n')
    assert [entry.value for entry in headers.entries] == ['Clear-Site-Data: "cache","cookies"', "A: b"]


def test_comments_and_a_byte_order_mark():
    assert entries("\ufeff# one\n; two\n\n  # three\na = 1\n") == [("a", "1")]


def test_repeated_keys_stay_in_order_with_their_lines():
    assert parse(b"route = a\n\nroute = b\n").entries == (Entry("route", "a", 1), Entry("route", "b", 3))


def test_an_indented_line_is_another_value():
    found = parse(b"route = 10.0.0.0/8\n  192.168.0.0/16\n\tfd00::/8 # ours\n")
    assert [entry.value for entry in found.entries] == ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"]
    assert {entry.key for entry in found.entries} == {"route"}
    assert [warning.line for warning in found.warnings] == [2, 3]


@pytest.mark.parametrize("text", ["  dpd = 90", "\tdpd: 90", " no-route=10.0.0.0/8"])
def test_an_indented_key_is_an_error(text):
    found = parse(b"route = 10.0.0.0/8\n" + text.encode())
    assert [(error.line, "another value of route" in error.text) for error in found.errors] == [(2, True)]


def test_the_first_key_of_a_section_may_be_indented():
    found = parse(b"  a = 1\n[vhost:Example.COM]\n  b = 2\n")
    assert found.entries == (Entry("a", "1", 1), Entry("b", "2", 3, "example.com"))
    assert found.errors == ()


def test_virtual_hosts_are_canonical_names():
    found = parse("[vhost:bücher.example]\na = 1\n".encode())
    assert found.entries == (Entry("a", "1", 2, "xn--bcher-kva.example"),)


def test_keys_of_an_unknown_section_are_skipped():
    found = parse(b"a = 1\n[other]\nb = 2\n  c = 3\n[vhost:x.example]\nd = 4\n")
    assert [entry.key for entry in found.entries] == ["a", "d"]
    assert found.warnings[0].line == 2
    assert "[other]" in found.warnings[0].text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"no separator", "not KEY = VALUE"),
        (b"= value", "has no key"),
        (b"[vhost:x", "no closing ]"),
        (b"[vhost:]", "names no virtual host"),
        (b"key = a\0b", "NUL"),
        (b"key = \xff", "byte 7 of the line is not UTF-8"),
        (b"key = " + b"x" * MAX_LINE_BYTES, "more than 2047 bytes"),
        (b"key # = value", "not KEY = VALUE"),
        (b"x" * (MAX_FILE_BYTES - 100), "more than 2047 bytes"),
    ],
    ids=["separator", "key", "bracket", "host", "nul", "utf-8", "line", "comment", "a megabyte"],
)
def test_a_syntax_error_names_its_line(line, reason):
    found = parse(b"a = 1\n" + line + b"\n")
    assert [error.line for error in found.errors] == [2]
    assert reason in found.errors[0].text
    assert len(found.errors[0].text) < 150


def test_errors_and_the_size_of_a_file_are_bounded():
    assert len(parse(b"x\n" * 1000).errors) == MAX_ERRORS
    assert "more than 1048576 bytes" in parse(b"a = 1\n" * MAX_FILE_BYTES).errors[0].text


@given(st.binary(max_size=300))
def test_any_bytes_give_entries_or_errors(data):
    found = parse(data)
    lines = data.count(b"\n") + 1
    assert all(1 <= remark.line <= lines for remark in (*found.errors, *found.warnings))
    assert all(1 <= entry.line <= lines and "\0" not in entry.value for entry in found.entries)
