# SPDX-License-Identifier: GPL-3.0-or-later
"""Second factors of the store's users: their secrets, sealed, and what a login asks of them."""
