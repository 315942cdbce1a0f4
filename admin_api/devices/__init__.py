# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices that users were seen with: shown, named and forgotten."""
