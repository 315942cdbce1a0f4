# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy as a whole: check, simulate, reload, export and explain."""
