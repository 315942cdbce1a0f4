# SPDX-License-Identifier: GPL-3.0-or-later
"""Users, groups, tokens and second factors in the store."""
