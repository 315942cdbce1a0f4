# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of the user directory: their hashes, and the bounded pool of threads that checks them."""
