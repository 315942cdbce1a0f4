# SPDX-License-Identifier: GPL-3.0-or-later
"""Webhooks: events sent to receivers over HTTP, signed, at least once."""
