# SPDX-License-Identifier: GPL-3.0-or-later
"""ocserv's configuration files: any bytes, and every value through every reader."""

import sys

import atheris

with atheris.instrument_imports():
    from vpn_frontend.ocserv.grammar import MAX_ERRORS, parse
    from vpn_frontend.ocserv.values import (
        read_labelled,
        read_method,
        read_network,
        read_number,
        read_ports,
        read_switch,
    )


def fuzz_one(data: bytes) -> None:
    found = parse(data)
    lines = data.count(b"\n") + 1
    assert len(found.errors) <= MAX_ERRORS
    assert all(1 <= remark.line <= lines for remark in (*found.errors, *found.warnings))
    for entry in found.entries:
        assert entry.key
        for read in (read_labelled, read_method, read_network, read_number, read_ports, read_switch):
            try:
                read(entry.value)
            except ValueError as error:
                assert str(error).isprintable()


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
