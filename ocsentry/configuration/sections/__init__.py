# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of the configuration file that stand in modules of their own: one table of the file each."""
