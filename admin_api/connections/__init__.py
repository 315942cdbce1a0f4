# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections of the API: how many there may be, how long they may stay silent, and who leaves first."""
