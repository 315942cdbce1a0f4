# SPDX-License-Identifier: GPL-3.0-or-later
"""The API's own route answers as FastAPI's route does; repeated keys of objects are refused."""

from __future__ import annotations

import random
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Header, Query, Response, Security
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes

from admin_api.http.api_route import ApiRoute
from admin_api.http.problem_responses import install_handlers
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.http.values import Body as BodyModel
from admin_api.http.values import Cidr, Ip, Moment, Text
from sentry_engine import Action

pytestmark = pytest.mark.asyncio

ROUNDS = 150
bearer = HTTPBearer(auto_error=False)


class Item(BodyModel):
    cidr: Cidr
    ttl: Annotated[float, Query(gt=0)] | None = None
    reason: Text = ""
    until: Moment | None = None


async def scopes(needed: SecurityScopes, _: Annotated[object, Depends(bearer)]) -> list[str]:
    return needed.scopes


async def paging(
    response: Response, limit: Annotated[int, Query(ge=1, le=9)] = 3, cursor: Annotated[str | None, Query()] = None
) -> tuple[int, str | None]:
    response.headers["Link"] = f"{limit}"
    return limit, cursor


async def twice(inner: Annotated[tuple[int, str | None], Depends(paging)]) -> int:
    return inner[0] * 2


async def search(
    who: Annotated[list[str], Security(scopes, scopes=["a", "b"])],
    page: Annotated[tuple[int, str | None], Depends(paging)],
    double: Annotated[int, Depends(twice)],
    address: Ip,
    flag: bool = False,
    verdict: Annotated[Action | None, Query()] = None,
    many: Annotated[list[Ip], Query(max_length=2)] = [],  # noqa: B006 - FastAPI copies it
    since: Annotated[Moment | None, Query()] = None,
    if_match: Annotated[str | None, Header()] = None,
) -> dict[str, object]:
    many.append(address)
    return {
        "who": who,
        "page": page,
        "double": double,
        "flag": flag,
        "verdict": verdict,
        "many": many,
        "since": since,
        "if_match": if_match,
    }


async def create(
    number: int, item: Item, response: Response, dry_run: bool = False, existing: bool = False
) -> Item | None:
    if number == 0:
        raise ApiError(ProblemKind.NOT_FOUND, "zero")
    response.headers["Location"] = f"/{number}"
    if existing:
        response.status_code = 200
    return None if dry_run else item


async def check(response: Response, body: Annotated[dict[str, object] | None, Body()] = None) -> dict[str, object]:
    return {"body": body}


async def remove(number: int, dry_run: bool = False) -> Response | None:
    return JSONResponse({"number": number}, 200) if dry_run else None


def application(route_class: type[APIRoute]) -> FastAPI:
    app = FastAPI(openapi_url=None)
    router = APIRouter(route_class=route_class)
    router.get("/search")(search)
    router.post("/items/{number}", status_code=201)(create)
    router.post("/check")(check)
    router.delete("/items/{number}", status_code=204, response_model=None)(remove)
    app.router.routes.extend(router.routes)
    install_handlers(app)
    return app


QUERIES = {
    "address": ["192.0.2.7", "2001:db8::7", "x", ""],
    "limit": ["1", "9", "0", "x", ""],
    "cursor": ["YQ", ""],
    "flag": ["true", "0", "maybe"],
    "verdict": ["accept", "none"],
    "many": ["192.0.2.1", "x"],
    "since": ["2030-01-01T12:00:00Z", "0.5", "2030-01-01"],
    "dry_run": ["true", "x"],
    "existing": ["true"],
}
BODIES = [
    b"",
    b"{}",
    b"null",
    b"[]",
    b"{",
    b"\xff",
    b'{"cidr": "192.0.2.0/24"}',
    b'{"cidr": "192.0.2.0/24", "ttl": 60, "until": "2030-01-01T12:00:00Z"}',
    b'{"cidr": "192.0.2.1/24", "reason": 5, "x": 1}',
    b"[" * 5000,
]
TYPES = ["application/json", "application/json; charset=utf-8", "application/merge-patch+json", "text/plain", ""]
PATHS = [("GET", "/search"), ("POST", "/items/7"), ("POST", "/items/0"), ("POST", "/items/x"), ("POST", "/check")]
PATHS += [("DELETE", "/items/7"), ("DELETE", "/items/x")]


def requests(seed: int):
    """Yields requests: half of all parameters, some twice, right and wrong values."""
    choose = random.Random(seed)
    for _ in range(ROUNDS):
        method, path = choose.choice(PATHS)
        names = [name for name in QUERIES for _ in range(choose.choice((0, 0, 0, 1, 1, 2)))]
        params = [("address", "192.0.2.7")] * choose.choice((0, 1, 1))
        params += [(name, choose.choice(QUERIES[name])) for name in names]
        headers = {name: value for name, value in [("If-Match", '"x"')] if choose.random() < 0.5}
        kind = choose.choice(TYPES)
        content = choose.choice(BODIES) if method == "POST" else b""
        yield method, path, params, headers | ({"Content-Type": kind} if kind and content else {}), content


def client_of(route_class: type[APIRoute]) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=application(route_class))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_answers_are_those_of_the_stock_route():
    statuses = set()
    async with client_of(APIRoute) as stock, client_of(ApiRoute) as own:
        for method, path, params, headers, content in requests(7):
            wanted, got = [
                await client.request(method, path, params=params, headers=headers, content=content)
                for client in (stock, own)
            ]
            told = (method, path, params, content)
            assert (got.status_code, got.content) == (wanted.status_code, wanted.content), told
            if got.status_code == 204:
                del wanted.headers["content-type"]  # of no content
            assert dict(got.headers) == dict(wanted.headers)
            statuses.add(got.status_code)
    assert statuses >= {200, 201, 204, 400, 404, 415, 422}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"cidr": "192.0.2.0/24", "cidr": "192.0.2.0/24"}', "/cidr"),
        ('{"a": {"b": [0, {"c~/": 1, "c~/": 1}]}}', "/a/b/1/c~0~1"),
        ('{"a": {"b": 1, "b": 2}, "a": 3}', "/a"),
    ],
)
async def test_a_key_that_stands_twice_is_refused(body, pointer):
    async with client_of(ApiRoute) as client:
        answer = await client.post("/check", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert "more than once" in answer.json()["detail"]
