# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference core: the specification in plain Python. The server never runs on it."""
