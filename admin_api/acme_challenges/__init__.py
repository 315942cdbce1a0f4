# SPDX-License-Identifier: GPL-3.0-or-later
"""Challenges of ACME servers, which the VPN's port answers while a certificate is ordered."""
