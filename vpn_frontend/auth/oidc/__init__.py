# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenID Connect in the user's browser, for clients with ``single-sign-on-v2``."""
