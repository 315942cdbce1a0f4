# SPDX-License-Identifier: GPL-3.0-or-later
"""The running server: all layers together, and its process."""
