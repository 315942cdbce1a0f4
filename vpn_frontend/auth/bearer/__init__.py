# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins by a token of an identity provider that the client brings along (RFC 6750)."""
