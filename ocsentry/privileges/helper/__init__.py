# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper process: a fixed list of checked verbs that need a privilege which the server has given up."""
