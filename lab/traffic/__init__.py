# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic and what becomes of it: pings, probes, transfers, impaired networks."""
