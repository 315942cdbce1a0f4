# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference page of the API at ``/docs``, made from its OpenAPI description."""
