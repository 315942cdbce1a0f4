# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign-ins of operators at an OpenID provider: who may do what, by the groups that it names."""
