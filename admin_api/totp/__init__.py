# SPDX-License-Identifier: GPL-3.0-or-later
"""One-time passwords of users: enrolment, confirmation, reset."""
