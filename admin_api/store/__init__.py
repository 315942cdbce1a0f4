# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: what must survive a restart, in SQL."""

from admin_api.store.database import Store
from admin_api.store.unit_of_work import UnitOfWork
from admin_api.store.users import UserAttributes, fold_name

__all__ = ["Store", "UnitOfWork", "UserAttributes", "fold_name"]
