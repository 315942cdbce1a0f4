# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands about those who log in: users with their groups, devices and codes, and the tokens of programs."""
