# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page of the console may load and do (Content Security Policy Level 3, Trusted Types)."""

DIRECTIVES = (
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types htmx",  # the policy that htmx's hx-csp makes; it acts only on elements with the page's nonce
)
WITHOUT_SCRIPTS = "; ".join(DIRECTIVES)


def content_policy(nonce: str) -> str:
    """Returns the policy of a page whose scripts carry ``nonce``."""
    return f"{WITHOUT_SCRIPTS}; script-src 'nonce-{nonce}'"
