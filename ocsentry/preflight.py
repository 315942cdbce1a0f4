# SPDX-License-Identifier: GPL-3.0-or-later
"""``serve --check``: everything that can be known to be wrong before anything is opened. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.certificates import CertificateError, expiry_problem, inspect_pair, utc_now
from sentry_engine import Policy, PolicyError
from vpn_frontend.checks import validate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocsentry.config import LoadedConfig


def check_everything(config: LoadedConfig) -> list[str]:
    """Lines for the operator, one per problem; none where the server would start."""
    return [*_certificates(config), *_rules(config), *_network(config)]


def _certificates(config: LoadedConfig) -> Iterator[str]:
    values = config.values
    pairs = [("vpn.certificate", values.vpn.certificate, values.vpn.private_key)]
    if values.admin.certificate is not None and values.admin.private_key is not None:
        pairs.append(("admin.certificate", values.admin.certificate, values.admin.private_key))
    for key, certificate, private_key in pairs:
        try:
            facts = inspect_pair(certificate, private_key)
        except CertificateError as error:
            yield f"{config.path}: {key}: {error}"
            continue
        if problem := expiry_problem(facts, utc_now()):
            yield f"{config.path}: {key}: {certificate}: {problem}"


def _rules(config: LoadedConfig) -> Iterator[str]:
    policy = config.values.policy
    try:
        Policy.load(*policy.rules)
    except PolicyError as error:
        yield from map(str, error.problems)
    for key in ("geoip_country", "geoip_asn"):
        database = getattr(policy, key)
        if database is not None and not database.is_file():
            yield f"{config.path}: policy.{key}: {database}: there is no such file"


def _network(config: LoadedConfig) -> Iterator[str]:
    for problem in validate(config.vpn):
        yield f"{config.path}: {problem}"
