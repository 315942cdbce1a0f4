# SPDX-License-Identifier: GPL-3.0-or-later
"""One-time codes by time (TOTP, RFC 6238) as a second factor."""
