# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of revisions is that of commits: a node that has read one has missed none before it."""

from __future__ import annotations

import psycopg
import pytest

PUBLISH = "SELECT fleet.publish_v2(1, 'o', ARRAY['kind'], ARRAY[%s], ARRAY['{}']::jsonb[])"


def test_a_change_has_no_revision_before_the_earlier_one_is_committed(fleet_url):
    url = fleet_url.replace("+psycopg", "")
    with psycopg.connect(url) as one, psycopg.connect(url) as other:
        (first,) = one.execute(PUBLISH, ["first"]).fetchone()
        other.execute("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(PUBLISH, ["second"])
        other.rollback()
        one.commit()
        assert other.execute(PUBLISH, ["second"]).fetchone() == (first + 1,)
        other.commit()
        keys = one.execute("SELECT key FROM fleet.log WHERE revision >= %s ORDER BY revision", [first]).fetchall()
        assert keys == [("first",), ("second",)]
