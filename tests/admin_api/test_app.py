# SPDX-License-Identifier: GPL-3.0-or-later
"""The application as a whole: its OpenAPI description, and its guards."""

from __future__ import annotations

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from admin_api.http.identity import Scope

pytestmark = pytest.mark.asyncio


class TestOpenApi:
    async def operations(self, server):
        description = (await server.anonymous.get("/openapi.json")).json()
        return description, [
            (path, method, operation)
            for path, methods in description["paths"].items()
            for method, operation in methods.items()
        ]

    async def test_names_are_verb_and_noun(self, server):
        description, operations = await self.operations(server)
        assert description["openapi"].startswith("3.1")
        names = [operation["operationId"] for _, _, operation in operations]
        assert len(set(names)) == len(names)
        verbs = {
            "get",
            "list",
            "create",
            "replace",
            "delete",
            "import",
            "change",
            "confirm",
            "enrol",
            "reset",
            "check",
            "reload",
            "explain",
            "verify",
            "stream",
            "simulate",
            "apply",
            "diff",
            "rollback",
            "export",
            "cancel",
            "test",
            "repeat",
            "refresh",
            "drain",
            "resume",
            "forget",
        }
        assert {name.partition("_")[0] for name in names} <= verbs

    async def test_the_description_is_valid(self, server):
        description, _ = await self.operations(server)
        validate(description, cls=OpenAPIV31SpecValidator)

    async def test_errors_are_problem_documents(self, server):
        description, operations = await self.operations(server)
        assert "ProblemDocument" in description["components"]["schemas"]
        assert "HTTPValidationError" not in description["components"]["schemas"]
        for path, _, operation in operations:
            if not path.startswith("/api/v1") or path.startswith("/api/v1/problems"):
                continue
            for status in ("401", "403", "422", "500"):
                assert set(operation["responses"][status]["content"]) == {"application/problem+json"}, (path, status)

    async def test_references_resolve(self, server):
        description, _ = await self.operations(server)
        for reference in re.findall(r"'\$ref': '#/components/schemas/([^']+)'", str(description)):
            assert reference in description["components"]["schemas"]

    async def test_everything_is_guarded(self, server):
        _, operations = await self.operations(server)
        for path, method, operation in operations:
            if not path.startswith("/api/v1") or path.startswith("/api/v1/problems"):
                continue
            assert operation["security"], path
            filled = re.sub(r"{\w+}", "x", path)
            assert (await server.anonymous.request(method, filled)).status_code == 401, path
            nobody = await server.client_with(Scope.METRICS_READ)
            if not path.startswith("/api/v1/operations"):  # which each caller has of its own
                assert (await nobody.request(method, filled)).status_code == 403, path

    async def test_no_page_loads_from_other_hosts(self, server):
        assert (await server.client.get("/redoc")).status_code == 404
        assert "script" not in (await server.client.get("/docs")).headers["content-security-policy"]

    async def test_headers_of_answers_are_described(self, server):
        description, _ = await self.operations(server)
        paths = description["paths"]
        rule = paths["/api/v1/rules/{rule_id}"]
        assert set(rule["get"]["responses"]["200"]["headers"]) == {
            "X-Request-ID",
            "RateLimit-Policy",
            "RateLimit",
            "ETag",
        }
        assert "Location" in paths["/api/v1/blocks"]["post"]["responses"]["201"]["headers"]
        assert "Link" in paths["/api/v1/blocks"]["get"]["responses"]["200"]["headers"]
        assert "Retry-After" in rule["get"]["responses"]["429"]["headers"]
        (if_match,) = (one for one in rule["put"]["parameters"] if one["name"].lower() == "if-match")
        assert if_match["required"]
        assert "Idempotency-Key" in [one["name"] for one in paths["/api/v1/blocks"]["post"]["parameters"]]
        assert {"400", "413", "415"} <= set(rule["put"]["responses"])
