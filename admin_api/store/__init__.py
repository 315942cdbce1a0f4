# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: users, tokens, blocks, rules, sessions, audit and engine state, in SQL."""

from admin_api.store.database import Store
from admin_api.store.identities.users import UserAttributes, fold_name
from admin_api.store.unit_of_work import UnitOfWork

__all__ = ["Store", "UnitOfWork", "UserAttributes", "fold_name"]
