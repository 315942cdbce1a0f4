# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m ocsentry`` runs the command line."""

from ocsentry.cli import main

main()
