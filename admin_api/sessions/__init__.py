# SPDX-License-Identifier: GPL-3.0-or-later
"""Live sessions and the accounting of all sessions."""
