# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens on one TLS connection until it becomes a tunnel: the connection, without I/O.

It is fed with the peer's bytes and the time and answers with a list of effects. Two of them are questions that take
time (``CheckLogin``, ``OpenTunnel``); one at most is open at a time, and the shell comes back with its answer:
``login_granted`` or ``login_refused``, ``tunnel_granted`` or ``tunnel_refused``, or ``unavailable``. A peer that breaks
HTTP meanwhile ends the connection: ``over`` is true, and a late answer has no effect.

Login state does not live here, because one login comes over several connections: the failures of a login are found by
its context cookie, a login that succeeded by its session cookie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vpn_frontend.protocol import auth_forms
from vpn_frontend.protocol.anyconnect_stubs import stub_response
from vpn_frontend.protocol.config_auth import ClientMessage, Device, MessageError, parse_message
from vpn_frontend.protocol.connect_request import TUNNEL_PATHS, TunnelRequest, parse_tunnel_request, read_user_agent
from vpn_frontend.protocol.http import HttpConnection, HttpError, HttpResponse

if TYPE_CHECKING:
    from vpn_frontend.protocol.connect_response import Headers
    from vpn_frontend.protocol.http_fast_path import HttpRequest
    from vpn_frontend.protocol.login_attempts import LoginAttempts

LOGIN_PATHS = frozenset({"/", "/auth", "/VPN"})
PROMPT = "Please enter your username and password."


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the link once all is out. ``reason`` says what the peer did wrong; empty: nothing."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class CheckLogin:
    username: str
    password: str
    group: str
    device: Device
    user_agent: str


@dataclass(frozen=True, slots=True)
class OpenTunnel:
    cookie: str
    request: TunnelRequest


@dataclass(frozen=True, slots=True)
class EndSession:
    """The user logged out; the session of ``cookie`` ends."""

    cookie: str


Effect = Send | Close | CheckLogin | OpenTunnel | EndSession


@dataclass(frozen=True, slots=True)
class PortalConfig:
    """What all conversations of a server share."""

    logins: LoginAttempts
    attempts: int
    groups: tuple[str, ...]
    banner: str
    certificate_sha1: str  # hex, upper case


class Connection:
    """One connection. Every method returns effects to carry out in order."""

    def __init__(self, portal: PortalConfig) -> None:
        self._portal = portal
        self._http = HttpConnection()
        self._context = ""
        self._group = ""
        self._path_group = ""  # the one that the URL names, which settles the choice
        self.over = False

    def receive(self, data: bytes, now: float) -> list[Effect]:
        if self.over:
            return []
        try:
            request = self._http.receive(data)
        except HttpError as error:
            self.over = True
            return [Send(self._http.refuse(error)), Close(str(error))]
        return [] if request is None else self._handle(request, now)

    def login_granted(self, cookie: str) -> list[Effect]:
        self._portal.logins.end(self._context)
        complete = auth_forms.login_complete(
            cookie=cookie, certificate_sha1=self._portal.certificate_sha1, banner=self._portal.banner
        )
        return self._respond(complete)

    def login_refused(self, text: str, now: float, *, final: bool = False) -> list[Effect]:
        """Show the form again with ``text``; when ``final`` or out of attempts, show the text alone and close."""
        if self.over:
            return []
        context, failures = self._portal.logins.fail(self._context, now)
        if final or failures >= self._portal.attempts:
            self._portal.logins.end(context)
            return self._respond(auth_forms.final_refusal(text))
        return self._respond(self._form(text, context))

    def unavailable(self, text: str, retry_after: int) -> list[Effect]:
        """Neither yes nor no: the login or the tunnel cannot be had now. ``retry_after`` is seconds."""
        return self._respond(auth_forms.service_unavailable(text, retry_after))

    def tunnel_refused(self) -> list[Effect]:
        """The cookie is none that opens a tunnel: the client has to log in again."""
        return self._respond(HttpResponse(401, "Cookie is not acceptable", (), b"", close=True))

    def tunnel_granted(self, headers: Headers) -> tuple[bytes, bytes]:
        """The head of the answer to CONNECT, and the bytes that came behind the request; the connection is over."""
        self.over = True
        return self._http.open_tunnel("CONNECTED", headers)

    def _handle(self, request: HttpRequest, now: float) -> list[Effect]:
        if request.method == "CONNECT":
            return self._handle_connect(request)
        if request.path == "/logout":
            return self._log_out(request.cookie(auth_forms.SESSION_COOKIE))
        if request.method == "POST":
            return self._handle_post(request, now)
        if request.method not in ("GET", "HEAD"):
            return self._respond(
                HttpResponse(405, "Method Not Allowed", (("Allow", "GET, HEAD, POST, CONNECT"),), close=True)
            )
        if request.path in LOGIN_PATHS or request.path[1:] in self._portal.groups:
            self._choose_group(request)
            return self._respond(self._form())
        return self._respond(stub_response(request.path) or _NOT_FOUND)

    def _handle_connect(self, request: HttpRequest) -> list[Effect]:
        if request.path not in TUNNEL_PATHS:
            return self._respond(_NOT_FOUND)
        cookie = request.cookie(auth_forms.SESSION_COOKIE)
        return [OpenTunnel(cookie, parse_tunnel_request(request))] if cookie else self.tunnel_refused()

    def _handle_post(self, request: HttpRequest, now: float) -> list[Effect]:
        self._choose_group(request)
        if request.path not in LOGIN_PATHS and not self._path_group:
            return self._respond(_NOT_FOUND)
        try:
            message = parse_message(request.body, request.header("content-type"))
        except MessageError as error:
            self.over = True
            return [Send(self._http.refuse(HttpError(400, "Bad Request"))), Close(str(error))]
        self._context = request.cookie(auth_forms.CONTEXT_COOKIE)
        self._group = self._path_group or message.group
        if message.kind == "logout":
            return self._log_out(message.session_token or request.cookie(auth_forms.SESSION_COOKIE))
        if message.kind == "auth-reply":
            return self._handle_reply(message, read_user_agent(request), now)
        return self._respond(self._form())

    def _handle_reply(self, message: ClientMessage, user_agent: str, now: float) -> list[Effect]:
        if not message.username or message.password is None:
            return self._respond(self._form())
        if self._portal.groups and self._group and self._group not in self._portal.groups:
            return self.login_refused("There is no such group.", now)
        return [CheckLogin(message.username, message.password, self._group, message.device, user_agent)]

    def _log_out(self, cookie: str) -> list[Effect]:
        ended: list[Effect] = [EndSession(cookie)] if cookie else []
        return ended + self._respond(auth_forms.logged_out())

    def _form(self, error: str = "", context: str = "") -> HttpResponse:
        if self._path_group:
            return auth_forms.login_form(message=PROMPT, error=error, context=context, action=f"/{self._path_group}")
        return auth_forms.login_form(
            message=PROMPT, error=error, groups=self._portal.groups, selected=self._group, context=context
        )

    def _choose_group(self, request: HttpRequest) -> None:
        named = request.path[1:]
        self._path_group = self._group = named if named in self._portal.groups else ""

    def _respond(self, response: HttpResponse) -> list[Effect]:
        if self.over:
            return []
        effects: list[Effect] = [Send(self._http.respond(response))]
        if self._http.closing:
            self.over = True
            effects.append(Close())
        return effects


_NOT_FOUND = HttpResponse(404, "Not Found", (("Content-Type", "text/plain"),), b"Not found\n")
