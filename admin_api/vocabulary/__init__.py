# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptions and examples of the properties and parameters of which the models say nothing themselves."""
