# SPDX-License-Identifier: GPL-3.0-or-later
"""The FastAPI application. A request passes, in this order:

request id, headers, last resort (``http.request_context``) -> HEAD (``http.methods``) -> ``http.path_segments`` ->
``http.host_check`` -> ``http.request_limit`` -> ``authentication`` -> ``http.body_limit`` -> ``idempotency`` ->
``respond_async`` -> routing and validation (FastAPI) -> the endpoint.
"""

from __future__ import annotations

import functools
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from admin_api.acme_challenges.endpoints import router as acme_challenges
from admin_api.addresses.endpoints import router as addresses
from admin_api.audit.endpoints import router as audit
from admin_api.authentication import Authentication
from admin_api.blocks.bulk import router as blocks_in_bulk
from admin_api.blocks.endpoints import router as blocks
from admin_api.console.application import Console
from admin_api.console_links.endpoints import router as console_links
from admin_api.decisions.endpoints import router as decisions
from admin_api.devices.endpoints import router as devices
from admin_api.events.endpoints import router as events
from admin_api.feeds.endpoints import router as feeds
from admin_api.first_steps.endpoints import router as first_steps
from admin_api.groups.endpoints import router as groups
from admin_api.health.endpoints import root
from admin_api.health.endpoints import router as health
from admin_api.health.metrics import make_registry
from admin_api.http.limits.body_limit import BodyLimit
from admin_api.http.limits.host_check import HostCheck
from admin_api.http.limits.request_limit import RequestLimit
from admin_api.http.methods import HeadRequests
from admin_api.http.path_segments import PathSegments
from admin_api.http.paths import CONSOLE_PATH
from admin_api.http.problem_pages import router as problems
from admin_api.http.problem_responses import install_handlers
from admin_api.http.request_context import RequestContext
from admin_api.http.routing import group_routes
from admin_api.idempotency import Idempotency
from admin_api.nodes.endpoints import router as nodes
from admin_api.openapi import describe
from admin_api.operations.endpoints import router as operations
from admin_api.penalties.endpoints import router as penalties
from admin_api.policy.endpoints import router as policy
from admin_api.policy.versions import router as versions
from admin_api.reference.page import PATH as REFERENCE_PATH
from admin_api.reference.page import ReferencePage
from admin_api.respond_async import RespondAsync, is_long
from admin_api.rules.endpoints import router as rules
from admin_api.sessions.endpoints import router as sessions
from admin_api.settings.endpoints import router as settings
from admin_api.stats.endpoints import router as stats
from admin_api.store.connections.waits import brief_waits
from admin_api.store.failures import is_unavailable
from admin_api.tokens.endpoints import router as tokens
from admin_api.totp.endpoints import router as totp
from admin_api.users.endpoints import router as users
from admin_api.webhooks.endpoints import router as webhooks

if TYPE_CHECKING:
    from admin_api.services import Services

TITLE = "ocsentry"
ROUTERS = (
    blocks_in_bulk,  # /blocks/stream is no block
    blocks,
    rules,
    versions,
    policy,
    feeds,
    nodes,
    addresses,
    sessions,
    users,
    totp,
    devices,
    groups,
    penalties,
    decisions,
    events,
    audit,
    tokens,
    webhooks,
    settings,
    acme_challenges,
    console_links,
    operations,
    stats,
    first_steps,
    health,
    problems,
)


def create_app(services: Services) -> FastAPI:
    """Returns the application; ``services`` is what its endpoints use."""
    app = FastAPI(
        title=TITLE,
        version=services.version,
        description="Manages an ocsentry VPN server: its users, sessions, blocks, rules and policy.",
        docs_url=None,  # the stock pages load scripts from other hosts
        redoc_url=None,
        middleware=[
            Middleware(
                RequestContext,
                metrics=services.request_metrics,
                is_unavailable=is_unavailable,
                waits_of=lambda scope: nullcontext() if is_long(scope) else brief_waits(),
            ),
            Middleware(HeadRequests),
            Middleware(PathSegments),
            Middleware(HostCheck, hosts=services.hosts),
            Middleware(RequestLimit),
            Middleware(Authentication, services=services),
            Middleware(BodyLimit),
            Middleware(Idempotency, services=services),
            Middleware(RespondAsync, operations=services.operations, is_unavailable=is_unavailable),
        ],
    )
    app.state.services = services
    app.state.registry = make_registry(services)
    install_handlers(app)
    _mount(app)
    app.mount(CONSOLE_PATH, Console(services))
    # FastAPI documents replacing the method. The description is made at the first request, which takes a while.
    app.openapi = functools.cache(lambda: describe(app))  # type: ignore[method-assign]
    app.add_route(REFERENCE_PATH, ReferencePage(app.openapi).get, include_in_schema=False)
    return app


def describe_api() -> dict[str, Any]:
    """Returns the OpenAPI description; needs no server."""
    app = FastAPI(title=TITLE)
    _mount(app)
    return describe(app)


def _mount(app: FastAPI) -> None:
    routes = [route for router in (root, *ROUTERS) for route in router.routes]
    app.router.routes.extend(group_routes(routes))
