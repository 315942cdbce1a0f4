# SPDX-License-Identifier: GPL-3.0-or-later
"""``policy.kernel``: what the engine refuses by network is dropped in the kernel, before the server accepts it."""
