# SPDX-License-Identifier: GPL-3.0-or-later
"""The resources ``/fleet`` and ``/nodes``."""
