# SPDX-License-Identifier: GPL-3.0-or-later
"""What bounds a request before it is routed: hosts, rates, sizes."""
