# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the policy in force: rules, blocks, schedules, and the saved engine state."""
