# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client sends to be passed on to a Kerberos KDC."""

import sys

import atheris

with atheris.instrument_imports():
    from vpn_frontend.kdc_proxy.messages import (
        MAX_REALM,
        ProxyMessageError,
        parse_proxy_message,
        render_proxy_message,
    )


def fuzz_one(data: bytes) -> None:
    try:
        message = parse_proxy_message(data)
    except ProxyMessageError:
        return
    assert int.from_bytes(message.kerberos[:4], "big") == len(message.kerberos) - 4 > 0
    assert len(message.realm) <= MAX_REALM
    assert message.realm.isprintable()
    assert parse_proxy_message(render_proxy_message(message.kerberos)).kerberos == message.kerberos


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
