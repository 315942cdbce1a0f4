# SPDX-License-Identifier: GPL-3.0-or-later
"""Live sessions and the accounts of past ones."""
