# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords checked by an LDAP directory (RFC 4511): search for the user, bind as the user, read the groups."""
