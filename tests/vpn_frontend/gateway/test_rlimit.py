# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from vpn_frontend.gateway import rlimit
from vpn_frontend.gateway.rlimit import DescriptorLimitError, raise_descriptor_limit


@pytest.fixture
def limits(monkeypatch):
    """The limit of a process, as a list of what it was set to; ``hard`` may be raised by root alone."""
    history = [(1024, 4096)]

    def change(_, wanted):
        if wanted[1] > history[0][1]:
            raise PermissionError
        history.append(wanted)

    monkeypatch.setattr(rlimit.resource, "getrlimit", lambda _: history[-1])
    monkeypatch.setattr(rlimit.resource, "setrlimit", change)
    return history


def test_a_limit_that_suffices_is_left_alone(limits):
    raise_descriptor_limit(connections=500, workers=2, sockets=18)
    assert len(limits) == 1


def test_the_soft_limit_is_raised_to_what_is_needed(limits):
    raise_descriptor_limit(connections=3000, workers=2, sockets=18)
    assert limits[-1] == (3310, 4096)


def test_sockets_of_many_addresses_leave_the_connections_their_place(limits):
    raise_descriptor_limit(connections=3000, workers=2, sockets=144)
    assert limits[-1][0] >= 3000 + 2 * 144


def test_a_hard_limit_too_small_is_used_up_and_reported(limits):
    with pytest.raises(DescriptorLimitError, match="the limit is 4096"):
        raise_descriptor_limit(connections=10_000, workers=2, sockets=18)
    assert limits[-1] == (4096, 4096)
