# SPDX-License-Identifier: GPL-3.0-or-later
from typing import get_args

from ocsentry.login_methods.table import METHODS
from vpn_frontend.settings import MethodName


def test_every_word_of_the_configuration_has_a_row():
    assert METHODS.keys() == set(get_args(MethodName))
