# SPDX-License-Identifier: GPL-3.0-or-later
"""Bearer tokens of the API."""
