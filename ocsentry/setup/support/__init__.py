# SPDX-License-Identifier: GPL-3.0-or-later
"""The support archive of ``ocsentry doctor --bundle``: what a helper needs to know about a server, without its secrets.

Two layers keep secrets out. ``shown_settings`` shows text of the configuration only for keys that it lists.
``redaction`` then masks, in every file of the archive, the secrets that this server is known to have, and text that
has the form of one.
"""
