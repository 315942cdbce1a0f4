# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook helper: a process that runs the operator's programs for a server that may start none."""
