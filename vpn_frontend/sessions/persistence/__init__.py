# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that outlive the server's process: what a new process needs to give them back."""
