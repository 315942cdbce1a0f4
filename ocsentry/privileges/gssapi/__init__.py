# SPDX-License-Identifier: GPL-3.0-or-later
"""The GSSAPI helper: a process that holds the keytab and judges Kerberos tickets, for a server without privileges."""
