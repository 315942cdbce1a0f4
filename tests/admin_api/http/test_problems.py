# SPDX-License-Identifier: GPL-3.0-or-later
"""Problem documents: every refusal has one, with its code, its location and its page."""

from __future__ import annotations

import pytest

from admin_api.http.identity import Scope
from admin_api.http.limits.body_limit import MAX_BODY
from admin_api.http.problems import ProblemKind

pytestmark = pytest.mark.asyncio


PROBLEM_KEYS = {"type", "title", "status", "detail", "code", "instance"}


def check_problem(answer, status, code):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) >= PROBLEM_KEYS
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == f"/api/v1/problems/{code}"
    assert problem["instance"] == answer.headers["x-request-id"]
    return problem


class TestProblems:
    async def test_unauthenticated(self, server):
        answer = await server.anonymous.get("/api/v1/blocks")
        check_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")

    async def test_anonymous_cannot_probe_paths_and_methods(self, server):
        check_problem(await server.anonymous.get("/api/v1/nothing"), 401, "unauthenticated")
        check_problem(await server.anonymous.patch("/api/v1/blocks"), 401, "unauthenticated")

    async def test_anonymous_body_is_not_read(self, server):
        async def body():
            raise AssertionError("read")
            yield b""

        check_problem(await server.anonymous.post("/api/v1/blocks", content=body()), 401, "unauthenticated")

    async def test_forbidden(self, server):
        client = await server.client_with(Scope.BLOCKS_READ)
        check_problem(await client.get("/api/v1/users"), 403, "forbidden")

    async def test_not_found(self, server):
        check_problem(await server.client.get("/api/v1/nothing"), 404, "not_found")
        check_problem(await server.anonymous.get("/nothing"), 404, "not_found")

    async def test_method_not_allowed(self, server):
        for path, allowed in (
            ("/api/v1/blocks", "GET, HEAD, POST"),
            ("/api/v1/users/someone", "DELETE, GET, HEAD, PATCH, PUT"),
            ("/healthz", "GET, HEAD"),
        ):
            answer = await server.client.request("BREW", path)
            check_problem(answer, 405, "method_not_allowed")
            assert answer.headers["allow"] == allowed

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_too_large(self, server, streamed):
        async def chunks():
            for _ in range(MAX_BODY // 65536 + 2):
                yield b" " * 65536

        body = chunks() if streamed else b" " * (MAX_BODY + 1)
        headers = {"Content-Type": "application/json"}
        check_problem(await server.client.post("/api/v1/blocks", content=body, headers=headers), 413, "too_large")

    @pytest.mark.parametrize(
        "content",
        [b"{", b"\xff\xfe", b"[" * 100_000, b'{"cidr": "\\ud800"}', b'{"cidr": NaN}', b"", b"null", b'{"cidr": 1e999}'],
    )
    async def test_broken_json(self, server, content):
        headers = {"Content-Type": "application/json"}
        answer = await server.client.post("/api/v1/blocks", content=content, headers=headers)
        assert answer.status_code in {400, 422}
        check_problem(answer, answer.status_code, {400: "bad_request", 422: "invalid"}[answer.status_code])

    async def test_pointers_are_escaped(self, server):
        answer = await server.client.post("/api/v1/blocks", json={"cidr": "192.0.2.1", "a/b~c": 1})
        problem = check_problem(answer, 422, "invalid")
        assert problem["errors"][0]["pointer"] == "/a~1b~0c"

    async def test_query(self, server):
        problem = check_problem(await server.client.get("/api/v1/blocks?limit=0"), 422, "invalid")
        assert problem["errors"] == [
            {"pointer": "/limit", "file": "query", "detail": "Input should be greater than or equal to 1"}
        ]

    async def test_internal_failure_reveals_no_detail(self, server, caplog):
        def fail():
            raise RuntimeError("secret: /etc/passwd")

        server.engine.penalties = fail
        answer = await server.client.get("/api/v1/penalties")
        problem = check_problem(answer, 500, "internal")
        assert "secret" not in answer.text
        assert problem["instance"] in caplog.text
        assert "secret" in caplog.text

    async def test_every_kind_has_its_page(self, server):
        listed = (await server.anonymous.get("/api/v1/problems")).json()
        assert {kind["code"] for kind in listed} == {kind.code for kind in ProblemKind}
        for kind in ProblemKind:
            page = await server.anonymous.get(f"/api/v1/problems/{kind.code}")
            assert page.json()["status"] == kind.status
        check_problem(await server.anonymous.get("/api/v1/problems/none"), 404, "not_found")

    async def test_a_body_of_another_type_is_415(self, server):
        for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
            answer = await server.client.post("/api/v1/blocks", content=b'{"cidr": "192.0.2.1"}', headers=headers)
            assert "application/json" in check_problem(answer, 415, "unsupported_media_type")["detail"]
        json_like = {"content-type": "application/merge-patch+json; charset=utf-8"}
        made = await server.client.post("/api/v1/blocks", content=b'{"cidr": "192.0.2.1"}', headers=json_like)
        assert made.status_code == 201
        check_problem(await server.client.post("/api/v1/blocks"), 422, "invalid")  # no body at all

    async def test_errors_do_not_name_the_validator(self, server):
        answer = await server.client.post("/api/v1/blocks", json={"cidr": "198.51.100.256"})
        problem = check_problem(answer, 422, "invalid")
        assert "Value error" not in answer.text
        assert problem["errors"][0]["pointer"] == "/cidr"
        rule = {"id": "x", "type": "blcklist", "remote_addr": "192.0.2.0/24"}
        answer = await server.client.post("/api/v1/rules", json=rule)
        assert "did you mean blacklist" in check_problem(answer, 422, "invalid_policy")["detail"]
        assert "Input tag" not in answer.text
