# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections without a tunnel, each test with a directory that has to be asked and with one that answers at once."""

import pytest

from tests.vpn_frontend.connections.front import Front


@pytest.fixture(params=[False, True], ids=["asks", "knows"])
def make_front(request, make_lab, users):
    """Fronts over ``make_lab``'s labs."""
    fronts = []

    def make(document=None, **keywords):
        fronts.append(Front(make_lab(document, **keywords), users, knows=request.param))
        return fronts[-1]

    yield make
    for front in fronts:
        front.passwords.close()
