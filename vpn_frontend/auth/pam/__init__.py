# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords and further factors checked by the host's PAM stack, in a process of its own for each login."""
