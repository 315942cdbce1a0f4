# SPDX-License-Identifier: GPL-3.0-or-later
"""Inner addresses of clients: of pools, fixed, and outside the pools. No two sessions have one address."""
