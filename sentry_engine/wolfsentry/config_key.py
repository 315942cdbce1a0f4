# SPDX-License-Identifier: GPL-3.0-or-later
"""The key by which a document is one of wolfSentry's. What reads such a document is loaded when there is one."""

CONFIG_KEY = "wolfsentry-config-version"
