# SPDX-License-Identifier: GPL-3.0-or-later
"""ocserv's files: the grammar of its configuration, and the values in it. Nothing here does I/O."""
