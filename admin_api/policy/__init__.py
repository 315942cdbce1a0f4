# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy as a whole: check, reload, export, and the walk of a single question."""
