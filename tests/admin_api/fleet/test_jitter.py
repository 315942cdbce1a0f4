# SPDX-License-Identifier: GPL-3.0-or-later
"""How far pauses of a node are from those of all nodes."""

from __future__ import annotations

import pytest

from admin_api.fleet.jitter import SHARE, Jitter


@pytest.mark.parametrize(("drawn", "pause"), [(0.0, 1 - SHARE), (0.5, 1.0), (1.0, 1 + SHARE)])
def test_a_pause_is_a_fifth_shorter_or_longer_at_most(drawn, pause):
    assert SHARE == 0.2
    assert Jitter(lambda: drawn).around(10.0) == pytest.approx(10.0 * pause)
    assert Jitter(lambda: drawn).up_to(10.0) == 10.0 * drawn


def test_two_nodes_draw_pauses_of_their_own():
    one, other = Jitter(), Jitter()
    assert len({jitter.around(0.5) for jitter in (one, other) for _ in range(10)}) == 20
