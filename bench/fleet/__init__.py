# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet under measurement: whole servers on Debian's PostgreSQL, and the database alone; and the model made of it."""
