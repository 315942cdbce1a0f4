# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new server still needs, step by step."""
