# SPDX-License-Identifier: GPL-3.0-or-later
"""What an endpoint and its dependencies take from a request, worked out once for each route.

FastAPI works it out again for each request, which costs more than most endpoints. The rules are FastAPI's own, as far
as this API uses them: coroutines without ``yield``, and parameters without models of their own.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

from fastapi.dependencies.utils import request_body_to_args
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence

    from fastapi import Request, Response
    from fastapi._compat import ModelField
    from fastapi.dependencies.models import Dependant
    from starlette.datastructures import Headers, QueryParams

    Source = Mapping[str, Any] | QueryParams | Headers

PLAIN = (type(None), bool, int, float, str, bytes)  # defaults that need no copy


@dataclass(slots=True)
class Call:
    """The state of one request: what is known, and what is wrong with it."""

    request: Request
    response: Response | None
    body: Any
    errors: list[Any]
    known: dict[Hashable, Any]


class Parameter:
    """One parameter of the path, the query or the header."""

    __slots__ = ("_default", "_field", "_name", "_plain", "_sequence", "_where")

    def __init__(self, field: ModelField, where: str) -> None:
        self._field = field
        self._where = (where, field.validation_alias or field.alias)
        self._name = field.name
        self._sequence = getattr(field.field_info.annotation, "__origin__", None) is list
        self._default = None if field.field_info.is_required() else field.get_default()
        self._plain = isinstance(self._default, PLAIN) and not field.field_info.validate_default

    def read(self, source: Source, values: dict[str, Any], errors: list[Any]) -> None:
        alias = self._where[1]
        if alias not in source:
            self._leave_out(values, errors)
            return
        value = cast("QueryParams", source).getlist(alias) if self._sequence else source[alias]
        found, wrong = self._field.validate(value, values, loc=self._where)
        if wrong:
            errors += wrong
        else:
            values[self._name] = found

    def _leave_out(self, values: dict[str, Any], errors: list[Any]) -> None:
        if self._field.field_info.is_required():
            errors.append({"type": "missing", "loc": self._where, "msg": "Field required", "input": None})
        elif self._plain:
            values[self._name] = self._default
        else:
            values[self._name] = deepcopy(self._default)


class EndpointPlan:
    """The arguments of one function: an endpoint, or a dependency."""

    def __init__(self, dependant: Dependant, *, embed: bool = False) -> None:
        assert dependant.call is not None  # noqa: S101 - FastAPI's type has it for what is not complete yet
        self.function = cast("Callable[..., Awaitable[Any]]", dependant.call)
        self._dependant = dependant
        self._embed = embed
        self._inner = [(one.name, EndpointPlan(one)) for one in dependant.dependencies if not _only_described(one)]
        self._described = [one.name for one in dependant.dependencies if one.name and _only_described(one)]
        self._path = [Parameter(field, "path") for field in dependant.path_params]
        self._query = [Parameter(field, "query") for field in dependant.query_params]
        self._header = [Parameter(field, "header") for field in dependant.header_params]
        scopes = (*(dependant.parent_oauth_scopes or ()), *(dependant.own_oauth_scopes or ()))
        self._constants: dict[str, Any] = dict.fromkeys(self._described)
        if dependant.security_scopes_param_name:
            self._constants[dependant.security_scopes_param_name] = SecurityScopes([*dict.fromkeys(scopes)])
        self._request_names = [
            name for name in (dependant.request_param_name, dependant.http_connection_param_name) if name
        ]
        self._response_name = dependant.response_param_name
        self.key = (dependant.call, scopes)
        self.needs_response: bool = self._response_name is not None or any(
            plan.needs_response for _, plan in self._inner
        )

    async def arguments(self, call: Call) -> dict[str, Any]:
        """Returns the arguments. They are not complete if ``call.errors`` has grown."""
        values: dict[str, Any] = {}
        for name, plan in self._inner:
            known = call.known
            if plan.key in known:
                value = known[plan.key]
            else:
                before = len(call.errors)
                arguments = await plan.arguments(call)
                if len(call.errors) > before:
                    continue
                value = known[plan.key] = await plan.function(**arguments)
            if name is not None:
                values[name] = value
        request, errors = call.request, call.errors
        _read(self._path, request.path_params, values, errors)
        if self._query:
            _read(self._query, request.query_params if request.scope["query_string"] else {}, values, errors)
        if self._header:
            _read(self._header, request.headers, values, errors)
        if self._dependant.body_params:
            found, wrong = await request_body_to_args(
                body_fields=self._dependant.body_params, received_body=call.body, embed_body_fields=self._embed
            )
            values |= found
            errors += wrong
        for name in self._request_names:
            values[name] = request
        if self._response_name is not None:
            values[self._response_name] = call.response
        return values | self._constants if self._constants else values


def _read(
    parameters: Sequence[Parameter],
    source: Source,
    values: dict[str, Any],
    errors: list[Any],
) -> None:
    for parameter in parameters:
        parameter.read(source, values, errors)


def _only_described(dependant: Dependant) -> bool:
    """True for a security scheme: it describes how callers authenticate, which ``authentication`` has done."""
    return isinstance(dependant.call, SecurityBase)
