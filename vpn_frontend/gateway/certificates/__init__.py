# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's certificates and keys for TLS, what belongs to them, and which name gets which."""
