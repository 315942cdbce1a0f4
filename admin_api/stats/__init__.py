# SPDX-License-Identifier: GPL-3.0-or-later
"""Time series of the running server, for charts."""
