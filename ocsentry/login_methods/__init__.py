# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the methods of authentication that the configuration names."""
