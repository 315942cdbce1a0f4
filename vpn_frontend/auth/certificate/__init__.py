# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of clients as a method of authentication, and whom they name."""
