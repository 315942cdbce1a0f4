# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients: the real openconnect, a scripted client of the protocol, a browser, and the admin API's."""
