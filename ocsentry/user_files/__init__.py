# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of ocserv that name users, their one-time passwords and their settings, read at each login."""
