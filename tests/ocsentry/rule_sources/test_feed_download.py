# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads of lists from publishers that mean harm: where they point to, what they send, how long they take."""

from __future__ import annotations

import gzip
import tracemalloc
from ipaddress import ip_network

import pytest

from ocsentry.outbound.allowed_addresses import AllowedAddresses
from ocsentry.rule_sources.feed_download import MAX_REDIRECTS, WHOLE, HttpFetcher

LOOPBACK = [ip_network("127.0.0.0/8")]


def fetch(url, *, max_bytes=1_000_000, etag=None, **more):
    return HttpFetcher(**more).fetch(url, etag=etag, max_bytes=max_bytes)


def named(publisher, name="lists.example.org"):
    """Returns the URL of the publisher with a host name."""
    return publisher.url.replace("127.0.0.1", name)


class TestPlaces:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
            "fe80::1%2",
            "fd00::1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
        ],
    )
    def test_a_name_may_not_stand_for_an_inner_address(self, publisher, address):
        with pytest.raises(OSError, match="not public"):
            fetch(named(publisher), resolver=lambda *_: [address])
        assert publisher.requests == []

    def test_the_operator_may_allow_a_network(self, publisher):
        assert fetch(named(publisher), networks=LOOPBACK, resolver=lambda *_: ["127.0.0.1"]).body == publisher.body

    def test_the_checked_address_is_the_one_connected_to(self, publisher):
        answers = [["127.0.0.1"], ["10.0.0.1"]]
        assert fetch(named(publisher), networks=LOOPBACK, resolver=lambda *_: answers.pop(0)).body == publisher.body
        assert len(answers) == 1

    def test_the_address_in_the_url_of_the_feed_is_allowed(self, publisher):
        assert fetch(publisher.url).body == publisher.body

    def test_public_addresses_are_allowed(self):
        allowed = AllowedAddresses(resolver=lambda *_: ["10.0.0.1", "198.41.0.4", "2001:500:2::c"])
        assert allowed.find("lists.example.org", 443) == ["198.41.0.4", "2001:500:2::c"]


class TestRedirects:
    @pytest.mark.parametrize(
        "location",
        [
            "http://127.0.0.2:1/",
            "http://localhost:1/",
            "http://127.0.0.1:1/",
            "http://[::1]:1/",
            "http://2130706433:1/",
        ],
    )
    def test_to_an_inner_address(self, publisher, location):
        publisher.status, publisher.location, publisher.etag = 302, location, None
        with pytest.raises(OSError, match="not public"):
            fetch(publisher.url)

    @pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:70/"])
    def test_to_another_scheme(self, publisher, location):
        publisher.status, publisher.location, publisher.etag = 302, location, None
        with pytest.raises(OSError, match="no http or https URL"):
            fetch(publisher.url)

    def test_without_end(self, publisher):
        publisher.status, publisher.location, publisher.etag = 302, "/again", None
        with pytest.raises(OSError, match="redirects more than"):
            fetch(publisher.url)
        assert len(publisher.requests) == MAX_REDIRECTS + 1


class TestBodies:
    @pytest.mark.parametrize("size", [10_000_000, 100_000_000])
    def test_a_compression_bomb_takes_no_memory(self, publisher, size):
        publisher.body, publisher.encoding = gzip.compress(b"\n" * size), "gzip"
        tracemalloc.start()
        with pytest.raises(OSError, match="larger than 1000000 bytes"):
            fetch(publisher.url)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4_000_000

    def test_gzip(self, publisher):
        publisher.body, publisher.encoding = gzip.compress(b"192.0.2.0/24\n") * 3, "gzip"
        assert fetch(publisher.url).body == b"192.0.2.0/24\n" * 3

    def test_a_list_of_the_limit_is_taken_and_one_byte_more_is_not(self, publisher):
        assert fetch(publisher.url, max_bytes=len(publisher.body)).body == publisher.body
        with pytest.raises(OSError, match="larger than"):
            fetch(publisher.url, max_bytes=len(publisher.body) - 1)

    @pytest.mark.parametrize(
        ("body", "encoding"),
        [
            (gzip.compress(b"192.0.2.0/24\n" * 99, mtime=0)[:-9], "gzip"),
            (b"no gzip", "gzip"),
            (b"x", "br"),
            (b"x", "gzip, gzip"),
        ],
        ids=["truncated", "no gzip", "br", "gzip twice"],
    )
    def test_an_encoding_that_cannot_be_read_is_refused(self, publisher, body, encoding):
        publisher.body, publisher.encoding = body, encoding
        with pytest.raises(OSError, match=r"\S"):
            fetch(publisher.url)

    def test_the_whole_download_has_a_deadline(self, publisher):
        times = iter([0.0, 0.0, *[WHOLE] * 99])
        with pytest.raises(OSError, match="not complete after"):
            fetch(publisher.url, clock=lambda: next(times))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "nonsense", "http://[::", "http://"]
)
def test_a_failed_download_is_an_os_error(url):
    with pytest.raises(OSError, match=r"\S"):
        fetch(url)


def test_a_password_in_the_url_is_sent_and_not_shown(publisher):
    publisher.status, publisher.etag = 500, None
    with pytest.raises(OSError, match="500") as caught:
        fetch(publisher.url.replace("127", "me:hidden@127"))
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("rest", ["@127.0.0.1:1/x", "@127.0.0.1:x/", "@[::", "?a@127.0.0.1:1/", "#a@127.0.0.1:1/"])
def test_no_error_shows_a_password(rest):
    with pytest.raises(OSError, match=r"\*\*\*@") as caught:
        fetch(f"http://me:hidden{rest}")
    assert "hidden" not in str(caught.value)
