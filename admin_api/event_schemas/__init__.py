# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of each kind of event: the schemas of the event stream and of webhooks."""
