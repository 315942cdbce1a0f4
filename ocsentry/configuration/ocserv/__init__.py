# SPDX-License-Identifier: GPL-3.0-or-later
"""ocserv's configuration file, translated to the configuration that the TOML file makes."""
