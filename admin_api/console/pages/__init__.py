# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages, one module for each part of the navigation."""
