# SPDX-License-Identifier: GPL-3.0-or-later
"""Set-up and diagnosis: a new server, checks, certificates, imports and exports."""
