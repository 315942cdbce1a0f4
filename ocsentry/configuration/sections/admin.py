# SPDX-License-Identifier: GPL-3.0-or-later
"""``[admin]``: where the API listens, and the webhooks that the configuration names."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from admin_api.webhooks.receivers import MAX_WEBHOOKS, WebhookUrl
from ocsentry.configuration.fields import (
    AnyNetwork,
    FilePath,
    ListenAddress,
    OptionalPath,
    Section,
    empty_as_none,
    field,
    section,
)
from ocsentry.configuration.sections.oidc import SignOnSection


def _check_kind(kind: str) -> str:
    """The models of all events are loaded by a webhook that names some."""
    from admin_api.event_schemas.union import check_kind  # noqa: PLC0415

    return check_kind(kind)


class WebhookSection(Section):
    table_of_its_own: ClassVar[bool] = True

    url: WebhookUrl = Field(description="Where events are sent by POST, signed as Standard Webhooks says.")
    secret_file: FilePath = Field(
        description="File with the secret of the signatures: `whsec_` and base64 of 24 to 64 bytes."
    )
    kinds: tuple[Annotated[str, AfterValidator(_check_kind)], ...] = Field(
        (), description="Kinds of events, as in [api.md](api.md). Empty: all but `decision`.", max_length=128
    )


class AdminSection(Section):
    listen: Annotated[ListenAddress | None, BeforeValidator(empty_as_none)] = field(
        "127.0.0.1:8443",
        "TCP address of the HTTP API. Without a certificate it is plain HTTP, on loopback only. Empty: no TCP port.",
    )
    hosts: tuple[str, ...] = field(
        [],
        "Names in the `Host` header of requests over TCP, such as a reverse proxy's. Addresses and `localhost` are "
        "always accepted.",
        max_length=64,
    )
    socket: FilePath = field(
        "admin.sock", "Unix socket of the API, for the command line. Only root and the server's user may use it."
    )
    certificate: OptionalPath = field(
        "", "Certificate chain of the API in PEM. Set it with `private_key` or leave both empty."
    )
    private_key: OptionalPath = field("", "Private key of the certificate, in PEM.")
    oidc: SignOnSection = section()
    webhook: tuple[WebhookSection, ...] = Field((), description="Receivers of events.", max_length=MAX_WEBHOOKS)
    webhook_networks: tuple[AnyNetwork, ...] = field(
        [],
        "Networks that receivers of webhooks may be in beside public addresses, also if a URL names an address. They "
        "are never reached through a proxy.",
        max_length=64,
    )

    @model_validator(mode="after")
    def _receivers_differ(self) -> Self:
        if len({one.url for one in self.webhook}) < len(self.webhook):
            raise ValueError("webhook: two entries have the same url")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.certificate is None) is not (self.private_key is None):
            raise ValueError("set both certificate and private_key, or neither")
        if self.listen is not None and self.certificate is None and not self.listen.address.is_loopback:
            raise ValueError(
                f"plain HTTP on {self.listen} would show tokens to the network: set certificate and private_key"
            )
        return self
