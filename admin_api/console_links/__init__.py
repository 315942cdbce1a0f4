# SPDX-License-Identifier: GPL-3.0-or-later
"""One-time links that sign a person in to the console."""
