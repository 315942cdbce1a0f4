# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that the server runs with, and changes of them while it runs."""
