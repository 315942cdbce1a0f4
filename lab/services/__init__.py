# SPDX-License-Identifier: GPL-3.0-or-later
"""Outside servers of Debian, started by a test: LDAP, RADIUS, PAM services, PostgreSQL."""
