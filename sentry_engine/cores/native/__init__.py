# SPDX-License-Identifier: GPL-3.0-or-later
"""The native core's binding: its library, what crosses the border, policies, blocks and calls without lists."""
