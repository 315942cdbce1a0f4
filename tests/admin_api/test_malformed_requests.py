# SPDX-License-Identifier: GPL-3.0-or-later
"""Every operation refuses random malformed input with a problem document, and never fails with 500."""

from __future__ import annotations

import json
import random
import re

import pytest

from admin_api.app import describe_api

pytestmark = pytest.mark.asyncio

ROUNDS = 8  # of each operation
STREAMS = {"stream_blocks", "stream_events"}  # an answer to a valid request has no end
API = describe_api()
SCALARS = [
    None,
    True,
    -1,
    0,
    2**70,
    1e308,
    "",
    " ",
    "x" * 300,
    "198.51.100.0/24",
    "0.0.0.0/0",
    "::ffff:0:0/96",
    "::/0",
    "fe80::1%25",
    "\x00",
    "\u202e\u2028",
    "\ud800",
    "'; DROP TABLE users; --",
    "../../etc/passwd",
    "2030-01-01T00:00:00Z",
    "9999-12-31T23:59:59+14:00",
    "0001-01-01T00:00:00+14:00",
    "blocks:write",
]


def operations():
    for path, methods in API["paths"].items():
        for method, operation in methods.items():
            if operation["operationId"] not in STREAMS:
                yield pytest.param(path, method, operation, id=operation["operationId"])


def keys_of(schema, components):
    """The names of an object's properties, so that malformed values get past the schema."""
    found = set(re.findall(r"#/components/schemas/(\w+)", str(schema)))
    return [key for name in found for key in components[name].get("properties", {})]


class MalformedInput:
    def __init__(self, seed, keys):
        self._random = random.Random(seed)
        self._keys = [*keys, "id", "type", "remote_addr", "wolfsentry", "documents", "rules"]

    def scalar(self):
        return self._random.choice(SCALARS)

    def value(self, depth=0):
        kind = self._random.random()
        if depth > 3 or kind < 0.6:
            return self.scalar()
        if kind < 0.8:
            return [self.value(depth + 1) for _ in range(self._random.randrange(4))]
        return self.object(depth + 1)

    def object(self, depth=0):
        return {self._random.choice(self._keys): self.value(depth) for _ in range(self._random.randrange(6))}

    def text(self):
        return re.sub(r"[\x00-\x1f\ud800]", "", str(self.scalar())) or "x"

    def segment(self):
        return self.text().replace("/", "%2F").replace("\\", "")


SURROGATE = '{"documents": {"\\ud800": {}}}'
TIMES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("policy/check", SURROGATE),
        ("policy/simulate", SURROGATE),
        ("rules", '{"id": "\\ud800", "type": "blacklist", "remote_addr": "192.0.2.1"}'),
        ("rules", '{"id": "\u4e2d", "type": "blacklist", "remote_addr": "192.0.2.1"}'),
        ("rules", '{"id": "a", "\\udfff": 1}'),
        *[("users", json.dumps({"name": "t", "password": "x" * 12, "expires_at": time})) for time in TIMES],
        *[("tokens", json.dumps({"name": "t", "scopes": ["blocks:read"], "expires_at": time})) for time in TIMES],
    ],
)
async def test_what_no_store_can_hold_is_refused(server, path, body):
    headers = {"Content-Type": "application/json"}
    answer = await server.client.post(f"/api/v1/{path}", content=body.encode(), headers=headers)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "accept", ["text/plain;version=x;escaping=allow-utf-8", "text/plain;version", ";;;", "a" * 5000]
)
async def test_a_malformed_accept_header_gets_the_plain_format(server, accept):
    answer = await server.client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(("path", "method", "operation"), [*operations()])
async def test_malformed_input_is_refused(server, path, method, operation):
    components = API["components"]["schemas"]
    for seed in range(ROUNDS):
        malformed = MalformedInput(seed, keys_of(operation.get("requestBody", {}), components))
        filled = re.sub(r"{\w+}", malformed.segment(), path)
        named = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
        params = {name: malformed.text() for name in named if malformed._random.random() < 0.5}
        headers = {"If-Match": malformed._random.choice(['"x"', "*", ",,"])}
        body = malformed.object() if malformed._random.random() < 0.8 else malformed.value()
        content = b"" if method == "get" else json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
        answer = await server.client.request(method, filled, params=params, headers=headers, content=content)
        if operation["operationId"] == "reload_server":
            assert answer.status_code in {422, 503}  # this API has no server that could reload
            continue
        assert answer.status_code < 500, (filled, params, body, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
