# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that draw pictures of the product from data."""
