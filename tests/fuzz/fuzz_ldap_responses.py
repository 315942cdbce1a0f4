# SPDX-License-Identifier: GPL-3.0-or-later
"""What an LDAP server sends: messages, password policy controls, diagnostics and distinguished names."""

import sys

import atheris

with atheris.instrument_imports():
    from vpn_frontend.auth.ldap.account_state import PASSWORD_POLICY, judge_bind
    from vpn_frontend.auth.ldap.names import first_rdn_value
    from vpn_frontend.auth.ldap.responses import (
        MAX_MESSAGE,
        MAX_VALUES,
        Entry,
        ResponseError,
        Result,
        message_length,
        parse_response,
    )


def fuzz_one(data: bytes) -> None:
    judge_bind(Result(49, data.decode(errors="replace"), {PASSWORD_POLICY: data}))
    first_rdn_value(data.decode(errors="replace"))
    try:
        length = message_length(data)
        assert length is None or length <= MAX_MESSAGE
        body = parse_response(data).body
    except ResponseError:
        return
    if isinstance(body, Entry):
        assert sum(map(len, body.attributes.values())) <= MAX_VALUES


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
