# SPDX-License-Identifier: GPL-3.0-or-later
"""All that the server knows of one address."""
