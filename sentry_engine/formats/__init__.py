# SPDX-License-Identifier: GPL-3.0-or-later
"""The formats that policies are read from and written to."""
