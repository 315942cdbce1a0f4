# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of ``ocsentry doctor``, by their subject. Each yields results and changes nothing."""
