# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's certificates: pairs, expiry, names, OCSP responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from ocsentry.setup.certificates import EXPIRY_WARNING, CertificatePairError, expiry_problem, inspect_pair, utc_now
from ocsentry.setup.checks.result import CheckResult
from vpn_frontend.gateway.certificates.ocsp_response import ResponseError, check_response
from vpn_frontend.gateway.certificates.server_certificate import CertificateError, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ocsentry.configuration.model import LoadedConfig
    from vpn_frontend.settings import CertificateFiles


def check_certificates(config: LoadedConfig) -> Iterator[CheckResult]:
    for number, files in enumerate(config.vpn.every_certificate()):
        name = "certificate" if number == 0 else f"certificate {files.certificate.name}"
        yield from _certificate_pair(name, files, detailed=number == 0)


def _certificate_pair(name: str, files: CertificateFiles, *, detailed: bool) -> Iterator[CheckResult]:
    try:
        facts = inspect_pair(files.certificate, files.private_key, None, files.password_file)
    except CertificatePairError as error:
        yield CheckResult(
            name,
            "fail",
            str(error),
            "correct the files that the configuration names; `ocsentry init --dir NEW` creates a working pair",
        )
        return
    now = utc_now()
    if problem := expiry_problem(facts, now):
        yield CheckResult(name, "fail", f"{files.certificate}: {problem}", "renew it, then SIGHUP")
    elif facts.not_after - now < EXPIRY_WARNING:
        yield CheckResult(name, "warn", f"expires {facts.not_after:%Y-%m-%d}", "renew it, then SIGHUP")
    else:
        yield CheckResult(name, "ok", f"{facts.subject}, until {facts.not_after:%Y-%m-%d}, {facts.pin}")
    if files.ocsp_response is not None:
        yield _ocsp_response(files, files.ocsp_response)
    if not detailed:
        return
    if not facts.names:
        yield CheckResult(
            "certificate names", "warn", "no subjectAltName, which clients check", "have it reissued with one"
        )
    elif facts.self_signed:
        fix = "clients need --servercert with the pin; for phones get one from a known authority"
        yield CheckResult("certificate names", "warn", f"self-signed for {', '.join(facts.names)}", fix)
    else:
        yield CheckResult("certificate names", "ok", ", ".join(facts.names))


def _ocsp_response(files: CertificateFiles, response: Path) -> CheckResult:
    name = f"OCSP response {response.name}"
    try:
        chain = x509.load_pem_x509_certificates(read_file(files.certificate))
        until = check_response(read_file(response), chain)
    except (CertificateError, ResponseError) as error:
        return CheckResult(name, "fail", f"not stapled: {error}", "fetch a new one; it is read again every minute")
    return CheckResult(name, "ok", "stapled" if until is None else f"stapled, until {until:%Y-%m-%d %H:%M} UTC")
