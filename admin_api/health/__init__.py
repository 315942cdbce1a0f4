# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the server lives, is ready, and how it does."""
