# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of the first steps."""

from enum import StrEnum

from pydantic import Field

from admin_api.http.values import View


class StepName(StrEnum):
    CERTIFICATE = "certificate"
    OWN_NETWORKS = "own_networks"
    USER = "user"
    CONNECTION = "connection"
    TRAFFIC = "traffic"
    SECOND_TOKEN = "second_token"  # noqa: S105 - a name


class FirstStepView(View):
    name: StepName = Field(examples=["certificate"])
    title: str = Field(examples=["A certificate that clients trust"])
    done: bool = Field(examples=[False])
    detail: str = Field(description="What was found.", examples=["The certificate is self-signed"])
    how: str = Field(description="A command, or what to change.", examples=["ocsentry user add alice"])


class FirstStepsView(View):
    done: int = Field(description="How many steps are done.", examples=[4])
    steps: list[FirstStepView]
