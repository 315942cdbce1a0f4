# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule files and downloaded block lists: detects changes and keeps the lists current."""
