# SPDX-License-Identifier: GPL-3.0-or-later
"""The console's live page under load."""
