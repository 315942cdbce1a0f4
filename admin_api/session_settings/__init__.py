# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a session's settings as schemas: of the configuration file, of groups and of users."""
