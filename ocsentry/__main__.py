# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m ocsentry`` is ``ocsentry``."""

from ocsentry.cli import main

main()
