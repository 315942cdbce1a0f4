# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of a scripted fleet."""

import pytest

from tests.vpn_frontend.sessions.fleet.scripted import ScriptedFleet


@pytest.fixture
def fleet():
    return ScriptedFleet()


@pytest.fixture
def node(make_lab, fleet):
    return make_lab(fleet=fleet)
