# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests are routed by groups, and no dependency of an operation runs on a thread."""

from __future__ import annotations

import inspect

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Match

from admin_api.app import ROUTERS
from admin_api.health.endpoints import root
from admin_api.http.paths import API_PREFIX
from admin_api.http.routing import CHOSEN, flatten_routes, group_routes

ROUTES = [route for router in (root, *ROUTERS) for route in router.routes if isinstance(route, APIRoute)]


def scope_of(method, path):
    return {"type": "http", "method": method, "path": path, "root_path": "", "path_params": {}}


def find(method, path):
    """Returns the kind of match and the name of the operation."""
    for group in group_routes(ROUTES):
        match, child = group.matches(scope_of(method, path))
        if match is not Match.NONE:
            return match, child[CHOSEN].name
    return Match.NONE, None


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/healthz", "get_health"),
        ("GET", "/api/v1/blocks", "list_blocks"),
        ("POST", "/api/v1/blocks:import", "import_blocks"),
        ("GET", "/api/v1/blocks/stream", "stream_blocks"),
        ("GET", "/api/v1/blocks/0193", "get_block"),
        ("GET", "/api/v1/sessions/history", "list_session_accounts"),
        ("GET", "/api/v1/policy/versions/3", "get_policy_version"),
        ("GET", "/api/v1/users/alice/devices", "list_devices"),
        ("POST", "/api/v1/feeds/a/b.list:refresh", "refresh_feed"),
    ],
)
def test_a_request_finds_its_operation(method, path, name):
    assert find(method, path) == (Match.FULL, name)


def test_a_resource_without_the_method_and_a_path_without_a_resource():
    assert find("PUT", "/api/v1/blocks")[0] is Match.PARTIAL
    assert find("GET", "/api/v1/nothing") == (Match.NONE, None)
    assert find("GET", "/healthz/x") == (Match.NONE, None)


def test_a_request_is_compared_with_few_routes():
    groups = group_routes(ROUTES)
    assert [*flatten_routes(groups)] != []
    assert sorted(route.name for route in flatten_routes(groups)) == sorted(route.name for route in ROUTES)
    assert max(len(group.routes) for group in groups) <= 16
    assert all(path.startswith(API_PREFIX) or path.count("/") == 1 for path in (route.path for route in ROUTES))


def calls(dependant):
    for inner in dependant.dependencies:
        yield inner.call
        yield from calls(inner)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_nothing_of_a_request_waits_for_a_thread_pool(route):
    for call in (route.endpoint, *calls(route.dependant)):
        function = call if inspect.isroutine(call) else type(call).__call__
        assert inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function), call
