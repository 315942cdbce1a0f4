# SPDX-License-Identifier: GPL-3.0-or-later
"""Kerberos tickets by SPNEGO (RFC 4178) over HTTP Negotiate (RFC 4559)."""
