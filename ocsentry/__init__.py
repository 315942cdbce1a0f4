# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition root: configuration, command line, and the server process."""
