# SPDX-License-Identifier: GPL-3.0-or-later
"""The signing process: it has the private keys of the VPN's certificates, and reads nothing from clients."""
