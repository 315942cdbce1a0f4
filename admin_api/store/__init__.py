# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: what must survive a restart, in SQL."""

from admin_api.store.database import Store
from admin_api.store.unit_of_work import Unit
from admin_api.store.users import UserAttributes, fold_name

__all__ = ["Store", "Unit", "UserAttributes", "fold_name"]
