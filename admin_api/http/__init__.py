# SPDX-License-Identifier: GPL-3.0-or-later
"""What every HTTP request uses: identity, limits, paging, problem documents and value types."""
