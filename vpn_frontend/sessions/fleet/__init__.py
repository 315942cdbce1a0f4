# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of a server that is one node of several: the port ``Fleet`` and what works with it."""
