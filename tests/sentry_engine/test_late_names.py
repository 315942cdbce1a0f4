# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's public names, each loaded from its module when it is first asked for."""

import subprocess
import sys

import pytest

import sentry_engine
from lab.timeouts import TIMEOUT


@pytest.mark.parametrize("name", sentry_engine.__all__)
def test_every_public_name_is_where_the_package_says(name):
    loaded = getattr(sentry_engine, name)
    assert loaded is not None
    assert vars(sentry_engine)[name] is loaded


def test_a_name_that_does_not_exist_is_told():
    with pytest.raises(ImportError, match="no_such_name"):
        from sentry_engine import no_such_name  # noqa: F401, PLC0415
    assert not hasattr(sentry_engine, "no_such_name")


def test_a_small_part_is_loaded_without_the_engine():
    code = "import sys; from sentry_engine import Action; print([n for n in sys.modules if 'engine.engine' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    assert done.stdout == "[]\n"
