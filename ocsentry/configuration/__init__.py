# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file, and the documentation that derives from code."""
