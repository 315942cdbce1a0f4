# SPDX-License-Identifier: GPL-3.0-or-later
"""What the process of a PAM conversation sends: any packet."""

import sys

import atheris

with atheris.instrument_imports():
    from ocsentry.privileges.helper.protocol import ProtocolError, parse_packet
    from vpn_frontend.auth.pam.conversation import ConversationError, Ended, parse_message
    from vpn_frontend.auth.pam.verdict import judge_end


def fuzz_one(data: bytes) -> None:
    try:
        document = parse_packet(data)
        said = None if document is None else parse_message(document)
    except (ProtocolError, ConversationError):
        return
    if isinstance(said, Ended):
        judge_end(said)


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
