# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates from an ACME server (RFC 8555), validated over the VPN's own port (RFC 8737)."""
