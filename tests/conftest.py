# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing but what every test may rely on: hypothesis behaves alike on a slow shared machine and on a fast one."""

from hypothesis import HealthCheck, settings

settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("steady")
