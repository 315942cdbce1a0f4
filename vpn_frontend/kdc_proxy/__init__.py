# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kerberos KDC proxy over HTTPS (MS-KKDCP): clients get tickets before they have a tunnel to their KDC."""
