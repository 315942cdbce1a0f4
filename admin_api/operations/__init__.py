# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations: work that takes long, with its progress, its result, and a way to cancel it."""
