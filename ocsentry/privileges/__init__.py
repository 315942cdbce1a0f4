# SPDX-License-Identifier: GPL-3.0-or-later
"""What the process may do: identity, capabilities, seccomp, Landlock, and the helper that keeps a few rights."""
