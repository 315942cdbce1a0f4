# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of users and what their members get."""
