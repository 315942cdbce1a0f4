# SPDX-License-Identifier: GPL-3.0-or-later
"""``/first-steps``."""

from admin_api.dependencies import ServicesOf, StatusRead
from admin_api.first_steps.schemas import FirstStepsView
from admin_api.first_steps.steps import find_steps
from admin_api.http.problems import responses
from admin_api.http.routing import resource_router

router = resource_router("/first-steps", tag="status")


@router.get("", responses=responses())
async def get_first_steps(_: StatusRead, services: ServicesOf) -> FirstStepsView:
    """Get the steps from a new server to one in use, and which are done."""
    steps = list(await find_steps(services))
    return FirstStepsView(done=sum(step.done for step in steps), steps=steps)
