# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of login requests: XML, urlencoded forms and any other bytes."""

import sys

import atheris

with atheris.instrument_imports():
    from vpn_frontend.protocol.config_auth import MessageError, parse_message
    from vpn_frontend.protocol.constants import MAX_FIELDS, MAX_NAME, MAX_SECRET

CONTENT_TYPES = ("", "application/xml; charset=utf-8", "application/x-www-form-urlencoded", "text/plain")


def fuzz_one(data: bytes) -> None:
    if not data:
        return
    try:
        message = parse_message(data[1:], CONTENT_TYPES[data[0] % len(CONTENT_TYPES)])
    except MessageError:
        return
    for name in (message.username, message.group, message.session_token, message.device.name):
        assert name is None or (name.isprintable() and len(name) <= max(MAX_NAME, 512))
    assert message.password is None or len(message.password) <= MAX_SECRET
    assert len(message.fields) <= MAX_FIELDS
    assert all(len(value) <= MAX_SECRET for value in message.fields.values())


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
