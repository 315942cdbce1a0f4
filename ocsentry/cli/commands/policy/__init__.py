# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands about the policy: rules, their versions, and exchange with other formats."""
