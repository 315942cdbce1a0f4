# SPDX-License-Identifier: GPL-3.0-or-later
"""Responses of the server during a login, rendered: a form, the completed login, the refusal that ends it."""

from __future__ import annotations

import base64
import hashlib
import secrets
from functools import lru_cache
from html import escape

from vpn_frontend.protocol.browser_pages import ERROR_COOKIE, TOKEN_COOKIE
from vpn_frontend.protocol.constants import CONTEXT_COOKIE, HINTS_COOKIE, MAX_REASON, SESSION_COOKIE
from vpn_frontend.protocol.http import HttpResponse, keep_rendered
from vpn_frontend.protocol.login_form import BrowserRequest, Field, FieldKind, Form, GroupLabels, first_form

SERVER_VERSION = "0.1(1)"  # clients only check that there is one
XML_HEADERS = (
    ("Content-Type", "text/xml; charset=utf-8"),  # without the charset AnyConnect garbles group names beyond ASCII
    ("X-Transcend-Version", "1"),
    ("Cache-Control", "no-store"),
)
PROFILE_PATH = "/profiles/profile.xml"  # of every client: the cookie says whose profile it is
COOKIE_ATTRIBUTES = "; Secure; HttpOnly; Path=/"
EXPIRED = "; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
BLANK_FORMS = 128  # rendered first forms that are kept: one for each group that can be selected, and one for its URL
MAX_COMPLETE = 64  # combinations of certificate, banner and profile whose rendering is kept
LEAST_MARK = 32  # characters of a cookie; all that are issued are longer


def render_form(form: Form, *, context: str = "", max_age: int = 0, action: str = "/auth") -> HttpResponse:
    """Ask the user. The client answers with a POST to the path ``action``.

    ``context``: value of the context cookie, which the client keeps for ``max_age`` seconds; empty: no cookie.
    """
    cookies: tuple[tuple[str, str], ...] = ()
    if context:
        cookies = (_context_cookie(context, max_age),)
    return _xml_response(_auth_request(form, action), cookies)


@lru_cache(BLANK_FORMS)
def blank_form(groups: tuple[str, ...], labels: GroupLabels, selected: str, action: str, banner: str) -> HttpResponse:
    """The first form without an error. It is the same for every client, so it is rendered once."""
    form = first_form(groups=groups, labels=labels, selected=selected, banner=banner)
    return keep_rendered(render_form(form, action=action))


def certificate_request() -> HttpResponse:
    """Ask for the client's certificate, in answer to an init only.

    A client with one begins again on a new connection, any other with ``client-cert-fail``. After three of these
    openconnect falls back to a GET.
    """
    body = f'<config-auth client="vpn" type="auth-request">{_VERSION}<client-cert-request/></config-auth>'
    return _xml_response(body, ())


def negotiate_request(token: bytes = b"", *, context: str = "", max_age: int = 0) -> HttpResponse:
    """Ask for a token of HTTP Negotiate (RFC 4559). A client without one repeats its request, and says so.

    ``context`` and ``max_age`` are as in ``render_form``.
    """
    cookies = (_context_cookie(context, max_age),) if context else ()
    headers = (("X-HTTP-Auth-Support", "fallback"), negotiate_header(token), *cookies)
    return HttpResponse(401, "Unauthorized", (*headers, ("Cache-Control", "no-store")))


def negotiate_header(token: bytes) -> tuple[str, str]:
    return "WWW-Authenticate", f"Negotiate {base64.b64encode(token).decode()}".strip()


def bearer_request(error: str) -> HttpResponse:
    """Ask for a bearer token, or for another one (RFC 6750, section 3)."""
    headers = (("WWW-Authenticate", "Bearer"), ("Cache-Control", "no-store"), ("Content-Type", "text/plain"))
    return HttpResponse(401, "Unauthorized", headers, f"{error}\n".encode())


def final_refusal(error: str) -> HttpResponse:
    """Show ``error`` and close. A form without inputs ends the client's login."""
    return _xml_response(_auth_request(Form((), error=error), "/auth"), (), close=True)


def login_complete(*, cookie: str, certificate_sha1: str, banner: str, profile: str = "") -> HttpResponse:
    """The login is accepted; ``cookie`` opens tunnels.

    ``webvpnc`` is cleared and set again, as AnyConnect expects. It names the profile to fetch if there is one, no
    update, and the SHA-1 (hex) of the certificate by which AnyConnect's downloader recognises this server.
    """
    if len(cookie) < LEAST_MARK:
        return _complete(cookie, certificate_sha1, banner, profile)
    pieces, others = _complete_pieces(len(cookie), certificate_sha1, banner, profile)
    rendered = cookie.encode().join(pieces)
    headers = (*XML_HEADERS, ("Set-Cookie", f"{SESSION_COOKIE}={cookie}{COOKIE_ATTRIBUTES}"), *others)
    response = HttpResponse(200, "OK", headers, rendered[rendered.index(b"\r\n\r\n") + 4 :])
    response.rendered = rendered
    return response


@lru_cache(MAX_COMPLETE)
def _complete_pieces(
    size: int, certificate_sha1: str, banner: str, profile: str
) -> tuple[list[bytes], tuple[tuple[str, str], ...]]:
    """What many clients share: what stands around the cookie of ``size`` characters, and the other cookies."""
    mark = secrets.token_hex(size)[:size]  # too long a random text for a banner to hold it
    response = keep_rendered(_complete(mark, certificate_sha1, banner, profile))
    return response.rendered.split(mark.encode()), response.headers[len(XML_HEADERS) + 1 :]


def _complete(cookie: str, certificate_sha1: str, banner: str, profile: str) -> HttpResponse:
    hint, manifest = _name_profile(profile) if profile else ("", "")
    cookies = (
        ("Set-Cookie", f"{SESSION_COOKIE}={cookie}{COOKIE_ATTRIBUTES}"),
        ("Set-Cookie", f"{CONTEXT_COOKIE}={EXPIRED}{COOKIE_ATTRIBUTES}"),
        ("Set-Cookie", f"{HINTS_COOKIE}={EXPIRED}{COOKIE_ATTRIBUTES}"),
        ("Set-Cookie", f"{HINTS_COOKIE}=bu:/&p:t&iu:1/&sh:{certificate_sha1}{hint}; Path=/; Secure"),
    )
    body = (
        f'<config-auth client="vpn" type="complete" aggregate-auth-version="2">{_VERSION}'
        f"<session-token>{cookie}</session-token>"
        f'<auth id="success"><title>SSL VPN Service</title>{_element("banner", banner)}</auth>'
        f'<config client="vpn" type="private"><vpn-base-config><server-cert-hash>{certificate_sha1}'
        f"</server-cert-hash></vpn-base-config>{manifest}</config></config-auth>"
    )
    return _xml_response(body, cookies)


def client_profile(profile: str) -> HttpResponse:
    """The profile that ``login_complete`` named. Clients compare the SHA-1 of these bytes."""
    return HttpResponse(200, "OK", XML_HEADERS, profile.encode())


def _name_profile(profile: str) -> tuple[str, str]:
    """What ``webvpnc`` and the document say of the profile. By its SHA-1 clients tell whether they have it already."""
    digest = hashlib.sha1(profile.encode(), usedforsecurity=False).hexdigest().upper()
    path = PROFILE_PATH.lstrip("/")
    manifest = (
        f'<vpn-profile-manifest><vpn rev="1.0"><file type="profile" service-type="user"><uri>{PROFILE_PATH}</uri>'
        f'<hash type="sha1">{digest}</hash></file></vpn></vpn-profile-manifest>'
    )
    return f"&fu:{path}&fh:{digest}", manifest


def logged_out() -> HttpResponse:
    """The session has ended. Clears all cookies."""
    cookies = tuple(
        ("Set-Cookie", f"{name}={EXPIRED}{COOKIE_ATTRIBUTES}")
        for name in (SESSION_COOKIE, CONTEXT_COOKIE, HINTS_COOKIE)
    )
    body = '<config-auth client="vpn" type="complete" aggregate-auth-version="2"></config-auth>'
    return _xml_response(body, cookies)


def service_unavailable(reason: str, retry_after: int) -> HttpResponse:
    """503, for a request without a fault. openconnect shows ``X-Reason``; ``retry_after`` is seconds."""
    reason = header_text(reason)
    headers = (("Content-Type", "text/plain"), ("X-Reason", reason), ("Retry-After", str(max(1, retry_after))))
    return HttpResponse(503, "Service Unavailable", headers, f"{reason}\n".encode(), close=True)


def header_text(text: str) -> str:
    """``text`` as a header value: printable ASCII without line ends, at most ``MAX_REASON`` characters."""
    return "".join(character if " " <= character <= "~" else "?" for character in text[:MAX_REASON])


def _context_cookie(context: str, max_age: int) -> tuple[str, str]:
    return "Set-Cookie", f"{CONTEXT_COOKIE}={context}; Max-Age={max_age}{COOKIE_ATTRIBUTES}"


def _auth_request(form: Form, action: str) -> str:
    # The text is a parameter: in the element itself a client would expand every percent sign.
    shown = f'<error id="88" param1="{escape(form.error)}" param2="">%s</error>' if form.error else ""
    banner = _element("banner", form.banner) if form.banner else ""
    inputs = "".join([_RENDERERS[field.kind](field) for field in form.fields]) + _SUBMIT if form.fields else ""
    return (
        f'<config-auth client="vpn" type="auth-request" aggregate-auth-version="2">{_VERSION}'
        f'<auth id="{escape(form.id)}"><title>{escape(form.title)}</title>{banner}'
        f"{_element('message', form.message)}{shown}"
        f"{'' if form.browser is None else _browser(form.browser)}"
        f'<form method="post" action="{escape(action)}">{inputs}</form></auth></config-auth>'
    )


def _browser(request: BrowserRequest) -> str:
    """Clients use each of these without a check for its absence."""
    return (
        f"{_element('sso-v2-login', request.login_url)}{_element('sso-v2-login-final', request.final_url)}"
        f"<sso-v2-token-cookie-name>{TOKEN_COOKIE}</sso-v2-token-cookie-name>"
        f"<sso-v2-error-cookie-name>{ERROR_COOKIE}</sso-v2-error-cookie-name>"
        f"{_element('sso-v2-browser-mode', 'external' if request.external else '')}"
    )


def _input(field: Field) -> str:
    label = f' label="{escape(field.label)}"' if field.label else ""
    value = f' value="{escape(field.value)}"' if field.value else ""  # clients refuse an empty attribute
    return f'<input type="{field.kind}" name="{escape(field.name)}"{label}{value}/>'


def _select(field: Field) -> str:
    labels = dict(field.labels)
    options = "".join(
        f'<option value="{escape(name)}"{_SELECTED if name == field.value and number else ""}>'
        f"{escape(labels.get(name) or name)}</option>"
        for number, name in enumerate(field.options)  # clients take the first option unless another is marked
    )
    return f'<select name="{escape(field.name)}" label="{escape(field.label)}">{options}</select>'


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>" if text else ""


def _xml_response(body: str, cookies: tuple[tuple[str, str], ...], *, close: bool = False) -> HttpResponse:
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'.encode()
    return HttpResponse(200, "OK", (*XML_HEADERS, *cookies), document, close)


PHONE_COOKIES = (  # phones post the form only with the second one
    ("Set-Cookie", "webvpn=; expires=Thu, 01 Jan 1970 00:00:00 GMT; path=/; Secure"),
    ("Set-Cookie", "webvpnlogin=1; path=/; Secure"),
)
_VERSION = f'<version who="sg">{SERVER_VERSION}</version>'
_SELECTED = ' selected="true"'
_SUBMIT = '<input type="submit" name="Login" value="Login"/>'
_RENDERERS = {
    FieldKind.TEXT: _input,
    FieldKind.PASSWORD: _input,
    FieldKind.HIDDEN: _input,
    FieldKind.BROWSER: _input,
    FieldKind.SELECT: _select,
}
