# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages as clients write them (after what openconnect 9.01 and AnyConnect 4.10 send), and as attackers do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.protocol import config_auth
from vpn_frontend.protocol.config_auth import MAX_INIT, MAX_INITS, MessageError, parse_message
from vpn_frontend.protocol.constants import MAX_FIELDS, MAX_NAME, MAX_SECRET

OPENCONNECT_INIT = b"""<?xml version="1.0" encoding="UTF-8"?>
<config-auth client="vpn" type="init" aggregate-auth-version="2"><version who="vpn">v9.01-3</version>\
<device-id>linux-64</device-id><capabilities><auth-method>single-sign-on-v2</auth-method></capabilities>\
<group-access>https://192.0.2.1/</group-access></config-auth>
"""
OPENCONNECT_REPLY = b"""<?xml version="1.0" encoding="UTF-8"?>
<config-auth client="vpn" type="auth-reply" aggregate-auth-version="2"><version who="vpn">v9.01-3</version>\
<device-id>linux-64</device-id><session-token/><session-id/>\
<auth><username>alice</username><password>s&lt;cret &amp; more</password></auth></config-auth>
"""
ANYCONNECT_REPLY = """<?xml version="1.0" encoding="UTF-8"?>
<config-auth client="vpn" type="auth-reply" aggregate-auth-version="2">
<version who="vpn">4.10.05095</version>
<device-id computer-name="LAPTOP" device-type="LENOVO 20QE" platform-version="10.0.19045" unique-id="AB12"
 unique-id-global="CD34">win</device-id>
<mac-address-list><mac-address public-interface="true">00-11-22-33-44-55</mac-address></mac-address-list>
<session-token></session-token><session-id></session-id>
<opaque is-for="sg"><tunnel-group>VPN</tunnel-group><config-hash>1</config-hash></opaque>
<group-select>Büro</group-select>
<auth><username>alice</username><password>secret</password></auth>
</config-auth>
""".encode()


def test_openconnect_asks_for_the_form():
    message = parse_message(OPENCONNECT_INIT, "application/xml; charset=utf-8")
    assert (message.kind, message.username, message.password) == ("init", None, None)
    assert message.device.platform == "linux-64"


def test_equal_first_documents_share_one_message():
    first = parse_message(OPENCONNECT_INIT, "")
    assert parse_message(bytes(bytearray(OPENCONNECT_INIT)), "") is first
    assert parse_message(OPENCONNECT_INIT.replace(b"linux-64", b"win"), "").device.platform == "win"


@pytest.mark.parametrize(
    "document",
    [
        OPENCONNECT_REPLY,
        OPENCONNECT_REPLY.replace(b'"auth-reply"', b'"init"'),
        b'<config-auth type="init"><session-token>secret</session-token></config-auth>',
        OPENCONNECT_INIT.replace(b"linux-64", b"x" * MAX_INIT),
    ],
    ids=["reply", "init with fields", "token", "long"],
)
def test_no_document_with_a_secret_and_no_long_one_is_kept(document):
    config_auth._inits.clear()
    parse_message(document, "")
    assert config_auth._inits == {}


def test_documents_that_are_kept_are_bounded():
    for number in range(MAX_INITS + 10):
        parse_message(OPENCONNECT_INIT.replace(b"linux-64", b"%d" % number), "")
        assert 0 < len(config_auth._inits) <= MAX_INITS


def test_openconnect_answers_the_form():
    message = parse_message(OPENCONNECT_REPLY, "")
    assert (message.kind, message.username, message.password) == ("auth-reply", "alice", "s<cret & more")


def test_anyconnect_answers_with_its_device_and_group():
    message = parse_message(ANYCONNECT_REPLY, "application/x-www-form-urlencoded")
    assert (message.username, message.password, message.group) == ("alice", "secret", "Büro")
    assert message.device.name == "LAPTOP"
    assert message.device.unique_id == "CD34"
    assert message.device.kind == "LENOVO 20QE"


def test_a_logout_names_its_session():
    message = parse_message(
        b'<config-auth client="vpn" type="logout"><session-token>abc</session-token></config-auth>', ""
    )
    assert (message.kind, message.session_token) == ("logout", "abc")


@pytest.mark.parametrize(
    "prolog",
    [
        b'<?xml version: "1.0" encoding="UTF-8"?>',
        b"\xef\xbb\xbf",
        b"\r\n  ",
        b'<?xml version="1.0" encoding="utf-16"?>',
        b'<?xml version: "1.0"',
        b'<?xml version="1.0">\r\n',
        b"<?",
    ],
)
def test_the_prolog_is_not_trusted_to_be_one(prolog):
    document = OPENCONNECT_REPLY[OPENCONNECT_REPLY.index(b"<config") :]
    assert parse_message(prolog + document, "").username == "alice"


def test_attributes_may_follow_each_other_without_a_blank():
    body = (
        b'<config-auth client="vpn"type="auth-reply"><device-id computer-name="a"unique-id="1">mac</device-id>'
        b"<auth><username>alice</username></auth></config-auth>"
    )
    message = parse_message(body, "")
    assert (message.username, message.device.name, message.device.unique_id) == ("alice", "a", "1")


def test_the_old_form_of_clients_without_xml():
    message = parse_message(
        b"username=al%20ice&password=p%26w+x&group%5flist=staff", "application/x-www-form-urlencoded"
    )
    assert (message.kind, message.username, message.password, message.group) == (
        "auth-reply",
        "al ice",
        "p&w x",
        "staff",
    )


def test_an_empty_body_asks_for_the_form():
    assert parse_message(b"", "").kind == "init"


@pytest.mark.parametrize("name", ["password", "password1", "secondary_password", "answer", "whichpin"])
def test_the_password_has_many_names(name):
    document = f'<config-auth type="auth-reply"><auth><username>a</username><{name}>b</{name}></auth></config-auth>'
    assert parse_message(document.encode(), "").password == "b"


def test_an_empty_password_is_not_a_missing_one():
    empty = b'<config-auth type="auth-reply"><auth><username>a</username><password/></auth></config-auth>'
    assert parse_message(empty, "").password == ""
    assert parse_message(empty.replace(b"<password/>", b""), "").password is None


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY x "y">]><config-auth type="init"/>',
        b'<?xml version="1.0"?><!DOCTYPE config-auth SYSTEM "file:///etc/passwd"><config-auth type="init"/>',
        b'<config-auth type="init"><group-select>&x;</group-select></config-auth>',
        b"<config-auth>" * 20,
        b"<config-auth>" + b"<a/>" * 1000 + b"</config-auth>",
        b'<other type="init"/>',
        b'<config-auth type="init"/><config-auth type="init"/>',
        b'<config-auth type="init"><group-select>\xff\xfe</group-select></config-auth>',
        b"<?xml " + b" " * 1000 + b'?><config-auth type="init"/>',
        b'<config-auth type="init"><auth><username>a&#10;b</username></auth></config-auth>',
        b"\x00\x01\x02",
        b"username=%ff",
        b"&".join(b"a%d=1" % index for index in range(100)),
    ],
)
def test_what_no_client_sends_is_refused(body):
    with pytest.raises(MessageError):
        parse_message(body, "")


def test_a_body_of_another_type_is_refused():
    with pytest.raises(MessageError):
        parse_message(b"username=a&password=b", "multipart/form-data; boundary=x")


def test_the_limits_of_names_and_passwords():
    document = (
        '<config-auth type="auth-reply"><auth><username>{}</username><password>{}</password></auth></config-auth>'
    )
    fitting = parse_message(document.format("a" * MAX_NAME, "b" * MAX_SECRET).encode(), "")
    assert (len(fitting.username), len(fitting.password)) == (MAX_NAME, MAX_SECRET)
    for name, secret in (("a" * (MAX_NAME + 1), "b"), ("a", "b" * (MAX_SECRET + 1))):
        with pytest.raises(MessageError):
            parse_message(document.format(name, secret).encode(), "")


def test_every_truncation_is_refused():
    end = ANYCONNECT_REPLY.rindex(b">") + 1
    for cut in range(1, end):
        with pytest.raises(MessageError):
            parse_message(ANYCONNECT_REPLY[:cut], "")


DOCUMENTS = st.text(max_size=200).map(lambda text: b"<config-auth>" + text.encode("utf-8", "replace"))


@given(st.one_of(st.binary(max_size=400), DOCUMENTS))
def test_any_body_is_read_or_refused(body):
    try:
        message = parse_message(body, "")
    except MessageError:
        return
    assert message.username is None or message.username.isprintable()


def test_all_submitted_fields_are_handed_over():
    document = (
        b'<config-auth type="auth-reply"><auth><username> alice </username><answer>1</answer><answer>2</answer>'
        b"<new_password>a b </new_password></auth></config-auth>"
    )
    message = parse_message(document, "")
    assert message.fields == {"username": " alice ", "answer": "1", "new_password": "a b "}
    assert (message.username, message.password) == ("alice", "1")
    form = parse_message(b"username=a&secondary_password=b&sso-token=c&sso-token=d", "")
    assert form.fields == {"username": "a", "secondary_password": "b", "sso-token": "c"}


def test_submitted_fields_are_bounded():
    document = '<config-auth type="auth-reply"><auth><large>{}</large>{}</auth></config-auth>'
    many = "".join(f"<f{number}>x</f{number}>" for number in range(MAX_FIELDS + 1))
    fields = parse_message(document.format("x" * (MAX_SECRET + 1), many).encode(), "").fields
    assert list(fields) == [f"f{number}" for number in range(MAX_FIELDS)]
    assert parse_message(document.format("x" * MAX_SECRET, "").encode(), "").fields == {"large": "x" * MAX_SECRET}


FRAMES = [
    OPENCONNECT_REPLY[: OPENCONNECT_REPLY.index(b"<auth>") + 6] + b"%s</auth></config-auth>",
    b'<config-auth type="z"><device-id x="1">w</device-id><group-select>B</group-select><auth>%s</auth></config-auth>',
    b'<config-auth type="y"><auth>%s</auth><capabilities><auth-method>x</auth-method></capabilities></config-auth>',
    b'<config-auth type="init"><auth>%s</auth><client-cert-fail/></config-auth>',
    b'<config-auth a="1"type="x"><auth>%s</auth></config-auth>',
    b'<config-auth type="x"><!-- <auth>%s</auth> --><auth><username>eve</username></auth></config-auth>',
    b'<config-auth type="x"><auth><![CDATA[<auth>%s</auth>]]></auth></config-auth>',
    b'<config-auth type="x"><auth><username>eve</username><auth>%s</auth></auth></config-auth>',
    b'<config-auth type="x"><auth>%s</auth><auth><username>eve</username></auth></config-auth>',
    b'<config-auth type="x"><other><auth>%s</auth></other></config-auth>',
    b'<config-auth type="x"><auth>%s</auth>',
    b'<config-auth type="x">' + b"<a/>" * 396 + b"<auth>%s</auth></config-auth>",
    b'<config-auth type="x"><session-token>secret</session-token><auth>%s</auth></config-auth>',
    b'<?xml version: "1.0"<config-auth type="x"><auth>%s</auth></config-auth>',
    b'<!DOCTYPE x><config-auth type="x"><auth>%s</auth></config-auth>',
    b"<auth>%s</auth>",
]
NAMES = ["username", "password", "secondary_password", "answer", "group_list", "a-b", "U", "x" * 40]
TEXTS = [
    "alice",
    "",
    " a ",
    "a&b",
    "&amp;",
    "]]>",
    'a="b"c',
    "\t",
    "\n",
    "Bü",
    "\x00",
    "\ufffe",
    "<b/>",
    "<!--",
    "x" * 3000,
]
CONTENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(NAMES), st.one_of(st.sampled_from(TEXTS), st.text("ab <>&/=\"'", max_size=6))).map(
            lambda pair: f"<{pair[0]}>{pair[1]}</{pair[0]}>"
        ),
        st.sampled_from([" ", "<a>", "</a>", "</auth>", "<auth>", "<password/>", "text"]),
    ),
    max_size=10,
).map("".join)


def outcome(read, document):
    try:
        return read(document)
    except MessageError as error:
        return str(error)


@given(st.sampled_from(FRAMES), st.lists(CONTENTS, min_size=3, max_size=5))
def test_a_known_frame_changes_no_message(frame, contents):
    for content in contents:
        document = frame.replace(b"%s", content.encode())
        read = outcome(lambda document: parse_message(document, ""), document)
        assert read == outcome(config_auth._parse_document, document)


def test_replies_in_a_known_frame_need_no_parser(monkeypatch):
    for name in (b"alice", b"bob"):
        parse_message(FRAMES[0].replace(b"%s", b"<username>%s</username>" % name), "")
    monkeypatch.setattr(config_auth, "_parse_document", None)
    message = parse_message(FRAMES[0].replace(b"%s", b"<username>carol</username><password>p w</password>"), "")
    assert (message.username, message.password, message.device.platform) == ("carol", "p w", "linux-64")


def test_frames_are_bounded_and_have_no_secret():
    for number in range(2 * config_auth.MAX_SEEN):
        reply = FRAMES[0].replace(b"linux-64", b"%d" % number).replace(b"%s", b"<username>a</username>")
        for _ in range(1 + number % 2):
            parse_message(reply, "")
        assert len(config_auth._frames) <= config_auth.MAX_FRAMES
        assert len(config_auth._seen) <= config_auth.MAX_SEEN
    for _ in range(3):
        parse_message(FRAMES[12].replace(b"%s", b"<password>hidden</password>"), "")
    assert not [frame for frame in config_auth._frames if b"secret" in frame or b"hidden" in frame]


def test_secrets_are_not_in_the_repr():
    assert "s<cret" not in repr(parse_message(OPENCONNECT_REPLY, ""))
