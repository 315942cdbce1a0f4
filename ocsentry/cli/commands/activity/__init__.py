# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands about what happens and happened: events, verdicts, changes, sessions by traffic, charts, one address."""
