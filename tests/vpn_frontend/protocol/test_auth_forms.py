# SPDX-License-Identifier: GPL-3.0-or-later
import hashlib
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.protocol.auth_forms import (
    PROFILE_PATH,
    client_profile,
    final_refusal,
    header_text,
    logged_out,
    login_complete,
    render_form,
    service_unavailable,
)
from vpn_frontend.protocol.http import keep_rendered
from vpn_frontend.protocol.login_form import Field, FieldKind, Form, first_form

TEXT = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f\ufffe\uffff", exclude_categories=["Cs", "Cc"]))
PROLOG = '<?xml version="1.0" encoding="UTF-8"?>\n'
HEAD = '<config-auth client="vpn" type="auth-request" aggregate-auth-version="2"><version who="sg">0.1(1)</version>'
MAIN = f'{HEAD}<auth id="main"><title>Login</title>'
PROMPT = "<message>Please enter your username and password.</message>"
CREDENTIALS = (
    '<input type="text" name="username" label="Username:"/><input type="password" name="password" label="Password:"/>'
    '<input type="submit" name="Login" value="Login"/>'
)


def read(response):
    assert response.status == 200
    assert ("Content-Type", "text/xml; charset=utf-8") in response.headers
    return ET.fromstring(response.body)


def cookies(response):
    return [value for name, value in response.headers if name == "Set-Cookie"]


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (
            render_form(first_form()),
            f'{MAIN}{PROMPT}<form method="post" action="/auth">{CREDENTIALS}</form></auth></config-auth>',
        ),
        (
            render_form(first_form(error="<wrong> & 100%s \"q\" 'a'"), context="c0ffee", max_age=240),
            (
                f'{MAIN}{PROMPT}<error id="88" param1="&lt;wrong&gt; &amp; 100%s &quot;q&quot; &#x27;a&#x27;" '
                f'param2="">%s</error><form method="post" action="/auth">{CREDENTIALS}</form></auth></config-auth>'
            ),
        ),
        (
            render_form(first_form(groups=("staff", "B\u00fcro & <x>"), selected="B\u00fcro & <x>")),
            (
                f'{MAIN}{PROMPT}<form method="post" action="/auth"><select name="group_list" label="GROUP:">'
                '<option value="B\u00fcro &amp; &lt;x&gt;">B\u00fcro &amp; &lt;x&gt;</option>'
                f'<option value="staff">staff</option></select>{CREDENTIALS}</form></auth></config-auth>'
            ),
        ),
        (
            render_form(first_form(), action='/sta"ff'),
            f'{MAIN}{PROMPT}<form method="post" action="/sta&quot;ff">{CREDENTIALS}</form></auth></config-auth>',
        ),
        (
            final_refusal("Too many"),
            (
                f'{MAIN}<error id="88" param1="Too many" param2="">%s</error><form method="post" action="/auth"></form>'
                "</auth></config-auth>"
            ),
        ),
        (
            login_complete(cookie="c0", certificate_sha1="AB", banner="Wel<come"),
            (
                '<config-auth client="vpn" type="complete" aggregate-auth-version="2">'
                '<version who="sg">0.1(1)</version><session-token>c0</session-token>'
                '<auth id="success"><title>SSL VPN Service</title>'
                '<banner>Wel&lt;come</banner></auth><config client="vpn" type="private"><vpn-base-config>'
                "<server-cert-hash>AB</server-cert-hash></vpn-base-config></config></config-auth>"
            ),
        ),
        (logged_out(), '<config-auth client="vpn" type="complete" aggregate-auth-version="2"></config-auth>'),
    ],
    ids=["first form", "error", "groups", "path", "final refusal", "complete", "logged out"],
)
def test_responses_keep_their_bytes(response, body):
    """Clients were tried with exactly these."""
    assert response.body.decode() == f"{PROLOG}{body}\n"
    assert response.headers[:3] == (
        ("Content-Type", "text/xml; charset=utf-8"),
        ("X-Transcend-Version", "1"),
        ("Cache-Control", "no-store"),
    )


def test_a_profile_is_named_with_the_hash_of_its_bytes():
    profile = "<AnyConnectProfile>\u00e4</AnyConnectProfile>"
    digest = hashlib.sha1(client_profile(profile).body, usedforsecurity=False).hexdigest().upper()
    complete = login_complete(cookie="c0", certificate_sha1="AB", banner="", profile=profile)
    assert cookies(complete)[-1] == (
        f"webvpnc=bu:/&p:t&iu:1/&sh:AB&fu:profiles/profile.xml&fh:{digest}; Path=/; Secure"
    )
    (file,) = read(complete).findall("config/vpn-profile-manifest/vpn/file")
    assert (file.get("type"), file.findtext("uri"), file.findtext("hash")) == ("profile", PROFILE_PATH, digest)


def test_cookies_keep_their_bytes():
    assert cookies(render_form(first_form())) == []
    assert cookies(render_form(first_form(), context="abc", max_age=240)) == [
        "webvpncontext=abc; Max-Age=240; Secure; HttpOnly; Path=/"
    ]
    expired = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; Path=/"
    assert cookies(login_complete(cookie="c0", certificate_sha1="AB", banner="")) == [
        "webvpn=c0; Secure; HttpOnly; Path=/",
        f"webvpncontext=; {expired}",
        f"webvpnc=; {expired}",
        "webvpnc=bu:/&p:t&iu:1/&sh:AB; Path=/; Secure",
    ]
    assert cookies(logged_out()) == [f"{name}=; {expired}" for name in ("webvpn", "webvpncontext", "webvpnc")]


@pytest.mark.parametrize("banner", ["", "Gr\u00fc\u00dfe <all>"])
@pytest.mark.parametrize("profile", ["", "<profile/>"])
@pytest.mark.parametrize("size", [64, 65, 200])
def test_the_rendered_acceptance_has_the_cookie_of_its_own_client(banner, profile, size):
    for cookie in ("a" * size, "b" * size):
        complete = login_complete(cookie=cookie, certificate_sha1="AB", banner=banner, profile=profile)
        short = login_complete(cookie="c0", certificate_sha1="AB", banner=banner, profile=profile)
        assert complete.body == short.body.replace(b"c0", cookie.encode())
        assert complete.headers == tuple((name, value.replace("c0", cookie)) for name, value in short.headers)
        assert complete.rendered == keep_rendered(replace(complete)).rendered


def test_a_form_is_rendered_from_its_fields():
    form = Form(
        (
            Field("secondary_password", FieldKind.PASSWORD, "Code:"),
            Field("whichpin", FieldKind.HIDDEN, value="<1>"),
            Field("realm", FieldKind.SELECT, "Realm:", "b", ("a", "b")),
        ),
        message="One-time code",
        title="Second <factor>",
        id="challenge",
    )
    root = read(render_form(form))
    assert root.find("auth").get("id") == "challenge"
    assert root.findtext("auth/title") == "Second <factor>"
    assert root.findtext("auth/message") == "One-time code"
    password, hidden, select, submit = root.find("auth/form")
    assert password.attrib == {"type": "password", "name": "secondary_password", "label": "Code:"}
    assert hidden.attrib == {"type": "hidden", "name": "whichpin", "value": "<1>"}, "no empty attribute"
    assert [(option.text, option.get("selected")) for option in select] == [("a", None), ("b", "true")]
    assert submit.get("type") == "submit"


@given(TEXT)
def test_an_error_reaches_the_user_as_a_parameter(text):
    error = read(render_form(first_form(error=text))).find("auth/error")
    if text:
        assert error.text == "%s"
        assert error.get("param1") == text


@given(st.lists(TEXT.filter(bool), min_size=1, max_size=5, unique=True), st.data())
def test_all_groups_are_offered_the_selected_one_first(groups, data):
    selected = data.draw(st.sampled_from(groups))
    options = read(render_form(first_form(groups=groups, selected=selected))).findall("auth/form/select/option")
    assert options[0].get("value") == selected
    assert sorted(option.text for option in options) == sorted(groups)
    assert all(option.get("selected") is None for option in options), "the first one is taken"


def test_the_final_refusal_has_no_inputs_and_closes():
    response = final_refusal("Too many attempts")
    assert response.close
    assert read(response).find("auth/error").get("param1") == "Too many attempts"
    assert len(read(response).find("auth/form")) == 0


def test_unavailable_says_why_and_when_to_retry():
    response = service_unavailable("No\r\nroom \N{SNOWMAN}", 0)
    assert response.status == 503
    assert ("X-Reason", "No??room ?") in response.headers
    assert ("Retry-After", "1") in response.headers


@given(st.text())
def test_a_header_text_is_printable_and_bounded(text):
    line = header_text(text)
    assert len(line) <= 300
    assert line.isascii()
    assert not line or line.isprintable()


@pytest.mark.parametrize("text", ["Welcome", "100 % <b>", "%" * 250])
def test_a_banner_comes_before_the_message_of_the_first_form(text):
    form = read(render_form(first_form(banner=text))).find("auth")
    assert [child.tag for child in form] == ["title", "banner", "message", "form"]
    assert form.findtext("banner") == text
