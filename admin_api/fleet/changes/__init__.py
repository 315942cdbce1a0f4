# SPDX-License-Identifier: GPL-3.0-or-later
"""What one node changes, on all of them: a log with revisions, and the parts that apply it.

changes.py      follows the log; the other modules apply its changes
block_rows.py   blocks: stored by the clock of the database, taken over from the others
accounts.py     users, groups, ended sessions, and what is only read again
penalties.py    penalties of sources: the worst are told to the others
heavy.py        sources that exceed a limit over all nodes together
log_trim.py     keeps the log short
"""
