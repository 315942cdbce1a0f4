# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of the provider become roles."""

import pytest

from admin_api.roles import Role
from admin_api.single_sign_on.group_roles import GroupRoles

ROLES = GroupRoles(frozenset({"admins", "root"}), frozenset({"desk"}), frozenset({"staff", "desk"}))


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (("staff",), Role.VIEWER),
        (("staff", "desk"), Role.OPERATOR),
        (("root", "staff"), Role.ADMIN),
        ((), None),
        (("Admins", "admins ", "staf"), None),
    ],
)
def test_the_highest_role_counts(groups, role):
    assert ROLES.role_of(groups) is role


def test_no_group_is_configured():
    assert GroupRoles().role_of(("staff", "")) is None
