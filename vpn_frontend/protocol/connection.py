# SPDX-License-Identifier: GPL-3.0-or-later
"""One TLS connection until it becomes a tunnel, without I/O.

Takes the peer's bytes and the time, returns effects. Two effects are questions whose answer may take time:
``CheckLogin`` and ``OpenTunnel``. At most one is open, and the caller returns with its answer: ``login_granted``,
``login_refused``, ``login_challenged``, ``login_negotiated``, ``login_to_begin``, ``tunnel_granted``,
``tunnel_refused`` or ``unavailable``.
If the peer breaks HTTP meanwhile, the connection is ``over`` and a late answer has no effect.

One login comes over several connections. So its state is found by cookies: a login under way by the context cookie, an
accepted one by the session cookie.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from sentry_engine.records import dataclass
from vpn_frontend.protocol import auth_forms, browser_pages
from vpn_frontend.protocol.anyconnect_stubs import stub_response
from vpn_frontend.protocol.client_offer import (
    NEGOTIATE_FIELD,
    NO_OFFER,
    STRAP_KEY_HEADER,
    ClientOffer,
    read_base64,
    read_negotiate,
    read_offer,
)
from vpn_frontend.protocol.client_page import wants_page
from vpn_frontend.protocol.config_auth import ClientMessage, MessageError, parse_message
from vpn_frontend.protocol.connect_request import TUNNEL_PATHS, TunnelRequest, parse_tunnel_request, read_user_agent
from vpn_frontend.protocol.constants import CONTEXT_COOKIE, SESSION_COOKIE
from vpn_frontend.protocol.http import HttpConnection, HttpError, HttpResponse
from vpn_frontend.protocol.login_attempts import CONTEXT_SIZE
from vpn_frontend.protocol.login_form import GROUP, USERNAME, Form, GroupLabels, first_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.http_headers import Header
    from vpn_frontend.protocol.camouflage import Camouflage
    from vpn_frontend.protocol.client_page import ClientPage
    from vpn_frontend.protocol.connect_response import Headers
    from vpn_frontend.protocol.http_fast_path import HttpRequest
    from vpn_frontend.protocol.login_attempts import LoginAttempt, LoginAttempts

LOGIN_PATHS = frozenset({"/", "/auth", "/VPN"})
PHONE_PATH = "/svc"
PHONE_PATHS = LOGIN_PATHS | {PHONE_PATH}  # of Cisco's IP phones, which send urlencoded forms
BAD_REQUEST = 400
BUSY_RETRY = 1  # seconds


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class Send:
    data: bytes


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class Close:
    """Close the connection once everything is sent. ``reason``: what the peer did wrong, or empty."""

    reason: str = ""


@dataclass(slots=True)  # not frozen: one is made per request, and frozen fields are slow to set
class CheckLogin:
    """Check a login. ``state`` is that of the challenge which ``message`` replies to; ``None``: the login begins.

    Without ``submitted`` the client asks how to log in. ``context`` is the value of the context cookie.
    """

    message: ClientMessage
    group: str
    user_agent: str
    state: object | None = None
    submitted: bool = True
    offer: ClientOffer = NO_OFFER
    context: str = field(default="", repr=False)
    strap_key: bytes = b""  # that the client showed with this request, unchecked


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class OpenTunnel:
    cookie: str
    request: TunnelRequest


@dataclass(frozen=True, slots=True)
class EndSession:
    """The user logged out. The session of ``cookie`` ends."""

    cookie: str


@dataclass(frozen=True, slots=True)
class ShowPage:
    """A browser asks for a page of a login. The caller returns with ``page_shown``."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class FetchProfile:
    """The client asks for the profile of the session of ``cookie``. Answered at once with ``profile_found``."""

    cookie: str


Effect = Send | Close | CheckLogin | OpenTunnel | EndSession | ShowPage | FetchProfile


@dataclass(frozen=True, slots=True)
class LoginShape:
    """How a login begins, see ``auth.login_plan``."""

    begins_at_init: bool = False  # the client's first request is a question too
    has_form: bool = True  # it can begin with user name and password
    form_has_code: bool = False  # and with a code in the same form
    needs_bearer: bool = False  # and in no other way than with a bearer token


NO_GROUP_SHAPES: Mapping[str, LoginShape] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PortalConfig:
    """What all connections of a server share."""

    logins: LoginAttempts
    attempts: int  # failures until a login ends
    groups: tuple[str, ...]  # offered in the form
    certificate_sha1: str  # hex, upper case
    labels: GroupLabels = ()  # of groups whose text in the form is not their name
    no_group_label: str = ""  # text of the option for no group; empty: there is none
    pre_login_banner: str = ""  # shown with the first form
    path_groups: frozenset[str] = frozenset()  # that a URL may name beside those
    any_group: bool = False  # clients may name others than those; only its members get in by one
    shape: LoginShape = LoginShape()
    group_shapes: Mapping[str, LoginShape] = field(default_factory=lambda: NO_GROUP_SHAPES)  # of groups with their own
    has_browser_pages: bool = False
    kdc_paths: frozenset[str] = frozenset()  # of requests for Kerberos KDCs, which are shown as pages
    client_page: ClientPage | None = None
    camouflage: Camouflage | None = None
    login_paths: frozenset[str] = LOGIN_PATHS
    reads_strap: bool = False
    http_headers: tuple[Header, ...] = ()  # of all responses before the tunnel, beside their own


class Connection:
    """One connection. Methods return effects to carry out in sequence."""

    def __init__(self, portal: PortalConfig, source: bytes = b"") -> None:
        """``source``: of the client; those of one source share the places of logins under way."""
        self._source = source
        self._portal = portal
        self._http = HttpConnection(portal.http_headers)
        self._context = ""
        self._group = ""
        self._path_group = ""  # named by the URL; then there is no choice
        self._checked: LoginAttempt | None = None  # whose challenge is being answered here
        # Context, digest and time of a reply whose answer is kept if it ends the login.
        self._reply: tuple[str, bytes, float] | None = None
        self._token = b""  # of HTTP Negotiate, for the next response
        self._admitted = portal.camouflage is None  # the peer has shown that it knows the server
        self.over = False

    def receive(self, data: bytes, now: float) -> list[Effect]:
        """Take bytes of the peer."""
        if self.over:
            return []
        try:
            request = self._http.receive(data)
        except HttpError as error:
            self.over = True
            return [Send(self._http.refuse(error)), Close(str(error))]
        return [] if request is None else self._handle(request, now)

    def closed(self) -> None:
        """The connection is gone. A reply that is being checked no longer blocks its login."""
        self.over = True
        self._release()

    def login_granted(
        self, cookie: str, banner: str = "", profile: str = "", *, negotiate: bytes = b""
    ) -> list[Effect]:
        """The login is accepted; ``cookie`` opens tunnels. The client shows ``banner`` and may fetch ``profile``.

        ``negotiate`` is the last token of HTTP Negotiate.
        """
        self._release()
        self._token = negotiate
        if self._context:
            self._portal.logins.end(self._context)
        complete = auth_forms.login_complete(
            cookie=cookie, certificate_sha1=self._portal.certificate_sha1, banner=banner, profile=profile
        )
        return self._answer(complete)

    def login_refused(
        self, text: str, now: float, *, final: bool = False, retry: tuple[Form, object] | None = None
    ) -> list[Effect]:
        """Ask again and show ``text``: with the form and state of ``retry``, else with the first form.

        Shows only ``text`` and closes when ``final`` or out of attempts.
        """
        self._release()
        if self.over:
            return []
        context, failures = self._portal.logins.fail(self._context, now, self._source)
        if final or failures >= self._portal.attempts or (retry is None and not self._shape.has_form):
            self._portal.logins.end(context)
            refusal = auth_forms.bearer_request if self._shape.needs_bearer else auth_forms.final_refusal
            return self._answer(refusal(text))
        if retry is None:
            return self._respond(self._first_form(text, context))
        self._context = context
        return self.login_challenged(replace(retry[0], error=text), retry[1], now)

    def login_challenged(self, form: Form, state: object, now: float, *, negotiate: bytes = b"") -> list[Effect]:
        """Ask with another form. ``state`` comes back with the reply. Raises ``StateSizeError``.

        ``negotiate`` is the last token of HTTP Negotiate.
        """
        self._release()
        if self.over:
            return []
        self._token = negotiate
        asked = frozenset([field.name for field in form.fields])
        context = self._portal.logins.challenge(self._context, now, state, asked, self._source)
        return self._respond(self._render(form, context))

    def login_negotiated(self, token: bytes, state: object | None, now: float) -> list[Effect]:
        """Ask for a token of HTTP Negotiate. ``state`` comes back with it; ``None``: nothing is kept."""
        self._release()
        if self.over:
            return []
        if state is None:
            return self._respond(auth_forms.negotiate_request(token))
        context = self._portal.logins.challenge(self._context, now, state, frozenset(), self._source)
        return self._respond(auth_forms.negotiate_request(token, context=context, max_age=self._portal.logins.timeout))

    def login_to_begin(
        self, form: Form | None = None, *, request_certificate: bool = False, error: str = ""
    ) -> list[Effect]:
        """Ask with ``form``, else the first form, which shows ``error``, or for a certificate. Nothing is kept."""
        self._release()
        if form is not None:
            return self._respond(self._render(replace(form, error=error), ""))
        return self._respond(auth_forms.certificate_request() if request_certificate else self._first_form(error))

    def unavailable(self, text: str, retry_after: int) -> list[Effect]:
        """The login or the tunnel could not be decided. ``retry_after`` is seconds."""
        self._release()
        return self._respond(auth_forms.service_unavailable(text, retry_after))

    def page_shown(self, response: HttpResponse) -> list[Effect]:
        camouflage = self._portal.camouflage
        if camouflage is not None and not self._admitted and response.status >= BAD_REQUEST:
            response = camouflage.refusal()  # the page is of no login that is under way
        return self._respond(response)

    def profile_found(self, profile: str) -> list[Effect]:
        """The answer to ``FetchProfile``. Empty: no such session, or it has none."""
        return self._respond(auth_forms.client_profile(profile) if profile else _NOT_FOUND)

    def tunnel_refused(self) -> list[Effect]:
        """The cookie opens no tunnel. The client has to log in again."""
        return self._respond(HttpResponse(401, "Cookie is not acceptable", (), b"", close=True))

    def tunnel_granted(self, headers: Headers, lines: str = "") -> tuple[bytes, bytes]:
        """The head of the response to CONNECT, and the bytes that followed the request. Ends the connection.

        ``lines`` are headers that stand before ``headers``, as ``http.render_lines`` returns them.
        """
        self.over = True
        return self._http.open_tunnel("CONNECTED", headers, lines)

    def _handle(self, request: HttpRequest, now: float) -> list[Effect]:
        self._reply = None
        if not self._admitted:
            refusal = self._refuse_stranger(request, now)
            if refusal is not None:
                return refusal
        if request.method == "CONNECT":
            return self._handle_connect(request)
        if request.path == "/logout":
            return self._log_out(request.cookie(SESSION_COOKIE))
        if request.method == "POST":
            return self._handle_post(request, now)
        if request.method not in ("GET", "HEAD"):
            return self._respond(_METHOD_NOT_ALLOWED)
        page = self._portal.client_page
        if page is not None and wants_page(request.path, request.header("accept")):
            return self._respond(page.response)
        self._choose_group(request)
        if request.path in self._portal.login_paths or self._path_group:
            self._context = request.cookie(CONTEXT_COOKIE)
            return self._begin(_GET, request, now)
        if self._portal.has_browser_pages and request.path in browser_pages.PATHS:
            return [ShowPage(request)]
        if unquote(request.path) == auth_forms.PROFILE_PATH:
            return [FetchProfile(request.cookie(SESSION_COOKIE))]
        return self._respond(stub_response(request.path) or _NOT_FOUND)

    def _refuse_stranger(self, request: HttpRequest, now: float) -> list[Effect] | None:
        """``None``: the peer may ask. It knows the secret, or has a cookie of this server, or its browser a page."""
        camouflage, logins = self._portal.camouflage, self._portal.logins
        if camouflage is None:
            return None
        context, cookie = request.cookie(CONTEXT_COOKIE), request.cookie(SESSION_COOKIE)
        if (
            camouflage.has_secret(request.query)
            or (cookie and camouflage.knows_cookie(cookie))
            or (context and logins.find(context, now) is not None)
        ):
            self._admitted = True
            return None
        if self._portal.has_browser_pages and request.method == "GET" and request.path in browser_pages.PATHS:
            return None
        return self._respond(camouflage.refusal())

    def _handle_connect(self, request: HttpRequest) -> list[Effect]:
        if request.path not in TUNNEL_PATHS:
            return self._respond(_NOT_FOUND)
        cookie = request.cookie(SESSION_COOKIE)
        return [OpenTunnel(cookie, parse_tunnel_request(request))] if cookie else self.tunnel_refused()

    def _handle_post(self, request: HttpRequest, now: float) -> list[Effect]:
        if request.path in self._portal.kdc_paths:
            return [ShowPage(request)]
        self._choose_group(request)
        if request.path not in self._portal.login_paths and not self._path_group:
            return self._respond(_NOT_FOUND)
        by_token = self._portal.shape.needs_bearer
        try:
            message = parse_message(request.body, request.header("content-type"), any_form=by_token)
        except MessageError as error:
            self.over = True
            return [Send(self._http.refuse(HttpError(400, "Bad Request"))), Close(str(error))]
        self._context = request.cookie(CONTEXT_COOKIE)
        self._group = self._path_group or self._group_named(message.group)
        if self._group == self._portal.no_group_label:
            self._group = ""
        if message.kind == "logout":
            return self._log_out(message.session_token or request.cookie(SESSION_COOKIE))
        if message.kind == "auth-reply":
            return self._handle_reply(message, request, now)
        return self._begin(message, request, now)

    def _group_named(self, text: str) -> str:
        """AnyConnect names a group by what it shows. A name goes before another group's label."""
        if not text or text in self._portal.groups:
            return text
        return next((name for name, label in self._portal.labels if label == text), text)

    def _begin(self, message: ClientMessage, request: HttpRequest, now: float) -> list[Effect]:
        """The client asks how to log in."""
        if not self._shape.begins_at_init:
            form = self._first_form()
            if request.path == PHONE_PATH and request.method == "GET":
                form = replace(form, headers=(*form.headers, *auth_forms.PHONE_COOKIES))
            return self._respond(form)
        if self._names_no_group():
            return self.login_refused(_NO_SUCH_GROUP, now)
        agent, token = read_user_agent(request), read_negotiate(request)
        attempt = self._portal.logins.find(self._context, now) if token and self._context else None
        if attempt is not None and attempt.state is not None and not attempt.asked:
            return self._handle_answer(replace(message, fields={NEGOTIATE_FIELD: token}), agent, attempt, request)
        offer = read_offer(request, message)
        if message.kind == "auth-reply" and message.group:  # the choice of no group is one too
            message = replace(message, fields={**message.fields, GROUP: message.group})
        return self._check(
            CheckLogin(message, self._group, agent, submitted=False, offer=offer, context=self._context), request
        )

    def _names_no_group(self) -> bool:
        if self._portal.any_group:
            return False
        groups, known = self._portal.groups, self._portal.path_groups
        return bool(groups and self._group and self._group not in groups and self._group not in known)

    def _handle_reply(self, message: ClientMessage, request: HttpRequest, now: float) -> list[Effect]:
        user_agent = read_user_agent(request)
        attempt = self._portal.logins.find(self._context, now) if self._context else None
        is_answer = attempt is not None and attempt.state is not None and _answers(message, attempt)
        if self._context and (is_answer or message.username is None or self._shape.form_has_code):
            digest = hashlib.blake2b(request.body, digest_size=16).digest()
            answered = None if is_answer else self._portal.logins.find_answer(self._context, digest, now)
            if answered is not None:
                return self._respond(answered)
            self._reply = (self._context, digest, now)
        if attempt is not None and is_answer:
            return self._handle_answer(message, user_agent, attempt, request)
        if not message.username or message.password is None or not self._shape.has_form:
            return self._begin(message, request, now)
        if self._names_no_group():
            return self.login_refused(_NO_SUCH_GROUP, now)
        offer = read_offer(request, message) if self._shape.begins_at_init else NO_OFFER
        return self._check(CheckLogin(message, self._group, user_agent, offer=offer, context=self._context), request)

    def _handle_answer(
        self, message: ClientMessage, user_agent: str, attempt: LoginAttempt, request: HttpRequest
    ) -> list[Effect]:
        """One reply of a login at a time: a second one, over another connection, is refused."""
        if attempt.busy:
            return self.unavailable("Another reply of this login is being checked.", BUSY_RETRY)
        attempt.busy = True
        self._checked = attempt
        return self._check(CheckLogin(message, self._group, user_agent, attempt.state), request)

    def _check(self, check: CheckLogin, request: HttpRequest) -> list[Effect]:
        if self._portal.reads_strap:
            check.strap_key = read_base64(request.header(STRAP_KEY_HEADER))
        return [check]

    def _release(self) -> None:
        if self._checked is not None:
            self._checked.busy = False
            self._checked = None

    def _log_out(self, cookie: str) -> list[Effect]:
        ended: list[Effect] = [EndSession(cookie)] if cookie else []
        return ended + self._respond(auth_forms.logged_out())

    def _first_form(self, error: str = "", context: str = "") -> HttpResponse:
        groups, labels, code = self._portal.groups, self._portal.labels, self._shape.form_has_code
        banner = self._portal.pre_login_banner
        if self._path_group:
            groups = ()
        elif groups and self._portal.no_group_label:
            groups = (self._portal.no_group_label, *groups)
        selected = self._group if self._group in groups else ""
        if code and not context:
            context = secrets.token_hex(CONTEXT_SIZE)  # names the login whose code comes back; nothing is kept
        if not error and not context:
            return auth_forms.blank_form(groups, labels, selected, self._action, banner)
        form = first_form(groups=groups, labels=labels, selected=selected, error=error, code=code, banner=banner)
        return self._render(form, context)

    def _render(self, form: Form, context: str) -> HttpResponse:
        return auth_forms.render_form(form, context=context, max_age=self._portal.logins.timeout, action=self._action)

    @property
    def _shape(self) -> LoginShape:
        """Of a login by the group that the client has chosen."""
        return self._portal.group_shapes.get(self._group, self._portal.shape)

    @property
    def _action(self) -> str:
        path = f"/{quote(self._path_group)}" if self._path_group else "/auth"
        return path if self._portal.camouflage is None else f"{path}?{self._portal.camouflage.secret}"

    def _choose_group(self, request: HttpRequest) -> None:
        named = unquote(request.path[1:])
        known = named in self._portal.path_groups or named in self._portal.groups
        self._path_group = self._group = named if known else ""

    def _answer(self, response: HttpResponse) -> list[Effect]:
        """Respond to the last reply of a login. A client that sends it again gets the same response."""
        if self._reply is not None and not self.over:
            context, digest, now = self._reply
            self._portal.logins.keep_answer(context, digest, response, now)
            self._reply = None
        return self._respond(response)

    def _respond(self, response: HttpResponse) -> list[Effect]:
        if self.over:
            return []
        if self._token:
            headers = (*response.headers, auth_forms.negotiate_header(self._token))
            response, self._token = replace(response, headers=headers), b""
        effects: list[Effect] = [Send(self._http.respond(response))]
        if self._http.closing:
            self.over = True
            effects.append(Close())
        return effects


def _answers(message: ClientMessage, attempt: LoginAttempt) -> bool:
    """True if the message replies to the challenge. With a user name that was not asked for, a login begins again."""
    return message.username is None or USERNAME in attempt.asked


# A GET asks what an init asks, and says less. Its client cannot be asked for a certificate.
_GET = ClientMessage("init", certificate_failed=True)
_NO_SUCH_GROUP = "There is no such group."
_METHOD_NOT_ALLOWED = HttpResponse(405, "Method Not Allowed", (("Allow", "GET, HEAD, POST, CONNECT"),), close=True)
_NOT_FOUND = HttpResponse(404, "Not Found", (("Content-Type", "text/plain"),), b"Not found\n")
