# SPDX-License-Identifier: GPL-3.0-or-later
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.protocol.auth_forms import final_refusal, header_text, login_complete, login_form, service_unavailable

TEXT = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f\ufffe\uffff", exclude_categories=["Cs", "Cc"]))


def read(answer):
    assert answer.status == 200
    assert ("Content-Type", "text/xml; charset=utf-8") in answer.headers
    return ET.fromstring(answer.body)


def cookies(answer):
    return [value for name, value in answer.headers if name == "Set-Cookie"]


def test_the_form_asks_for_name_and_password_together():
    root = read(login_form(message="Hello"))
    assert root.get("type") == "auth-request"
    assert root.find("auth").get("id") == "main"
    assert root.findtext("auth/message") == "Hello"
    form = root.find("auth/form")
    assert (form.get("method"), form.get("action")) == ("post", "/auth")
    assert [(i.get("type"), i.get("name")) for i in form][:2] == [("text", "username"), ("password", "password")]


@given(TEXT)
def test_an_error_reaches_the_user_whatever_it_says(text):
    error = read(login_form(message="", error=text, context="c")).find("auth/error")
    if text:
        assert error.text == "%s"
        assert error.get("param1") == text


def test_a_failed_login_is_known_again_by_its_cookie():
    assert cookies(login_form(message="")) == []
    assert cookies(login_form(message="", context="abc"))[0].startswith("webvpncontext=abc; ")


@given(st.lists(TEXT.filter(bool), min_size=1, max_size=5, unique=True), st.data())
def test_all_groups_are_offered_the_chosen_one_first(groups, data):
    selected = data.draw(st.sampled_from(groups))
    options = read(login_form(message="", groups=groups, selected=selected)).findall("auth/form/select/option")
    assert options[0].get("value") == selected
    assert options[0].get("selected") == "true"
    assert sorted(option.text for option in options) == sorted(groups)
    assert sum(option.get("selected") is not None for option in options) == 1


def test_the_last_word_has_no_inputs_and_closes():
    answer = final_refusal("Too many attempts")
    assert answer.close
    assert read(answer).find("auth/error").get("param1") == "Too many attempts"
    assert len(read(answer).find("auth/form")) == 0


def test_success_gives_the_cookie_in_both_ways_and_the_hash_of_the_certificate():
    answer = login_complete(cookie="c0ffee", certificate_sha1="AB" * 20, banner="Wel<come")
    root = read(answer)
    assert root.get("type") == "complete"
    assert root.find("auth").get("id") == "success"
    assert root.findtext("auth/banner") == "Wel<come"
    assert root.findtext("session-token") == "c0ffee"
    sent = cookies(answer)
    assert sent[0].startswith("webvpn=c0ffee; ")
    assert [cookie.partition("=")[0] for cookie in sent] == ["webvpn", "webvpncontext", "webvpnc", "webvpnc"]
    assert "sh:" + "AB" * 20 in sent[-1]


def test_try_later_says_why_and_when():
    answer = service_unavailable("No\r\nroom \N{SNOWMAN}", 0)
    assert answer.status == 503
    assert ("X-Reason", "No??room ?") in answer.headers
    assert ("Retry-After", "1") in answer.headers


@given(st.text())
def test_a_header_line_is_printable_and_bounded(text):
    line = header_text(text)
    assert len(line) <= 300
    assert line.isascii()
    assert not line or line.isprintable()
