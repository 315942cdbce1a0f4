# SPDX-License-Identifier: GPL-3.0-or-later
"""The PAM helper: a process that starts one process per PAM conversation, for a server without privileges."""
