# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service manager is told and keeps, and how a stuck process ends."""
