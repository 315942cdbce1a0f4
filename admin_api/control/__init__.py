# SPDX-License-Identifier: GPL-3.0-or-later
"""The Unix socket: HTTP and one-line commands."""
