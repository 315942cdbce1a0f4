# SPDX-License-Identifier: GPL-3.0-or-later
"""The console: HTML pages at ``/console``, rendered on the server.

Each page calls the HTTP API in this process as the person who is signed in: scopes, validation, safeguards and the
audit exist once, and the console can do nothing that the API cannot.
"""
