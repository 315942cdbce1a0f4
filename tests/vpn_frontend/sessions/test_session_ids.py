# SPDX-License-Identifier: GPL-3.0-or-later
from vpn_frontend.sessions.session_ids import AHEAD, ID_SIZE, SessionIds


def test_ids_differ_also_over_several_draws():
    ids, others = SessionIds(), SessionIds()
    count = 3 * AHEAD // ID_SIZE
    taken = [ids.take(2 * ID_SIZE if turn % 5 == 0 else ID_SIZE) for turn in range(count)]
    taken += [others.take() for _ in range(count)]
    parts = {one[at : at + 16] for one in taken for at in range(0, len(one), 16)}
    assert len(parts) == sum(len(one) // 16 for one in taken)
    assert {len(one) for one in taken} == {16, 32}
    assert all(int(part, 16) >= 0 for part in parts)
