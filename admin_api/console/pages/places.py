# SPDX-License-Identifier: GPL-3.0-or-later
"""Where accepted and refused sources are: a map, and the tables that say the same."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from admin_api.console.page import Page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from admin_api.console.visit import Visit

SHAPES = Path(__file__).parents[1] / "world/shapes.json"  # drawn by lab.drawings.world_map
SHADES = 5  # of the map, by powers of ten
NETWORKS = 20
COUNTED = ("refused", "accepted")


@cache
def read_shapes() -> Mapping[str, tuple[str, str]]:
    """Returns name and outline by ISO 3166-1 code."""
    return {code: (name, path) for code, (name, path) in json.loads(SHAPES.read_text()).items()}


async def show(visit: Visit) -> Response:
    counted = visit.query.get("count", "")
    counted = counted if counted in COUNTED else COUNTED[0]
    answer = await visit.api.get("decisions/places", networks=NETWORKS)
    rows: Sequence[Mapping[str, int]] = answer["countries"]
    counts = {row["country"]: row[counted] for row in rows}
    return await visit.page(
        "sources/places.html",
        shapes=read_shapes(),
        shades={code: shade(count) for code, count in counts.items()},
        counts=counts,
        counted=counted,
        rows=rows,
        networks=answer["networks"],
        since=answer["since"],
    )


def shade(count: int) -> int:
    """0 for none, 1 for up to 9, 2 for up to 99, and so on."""
    return min(len(str(count)), SHADES) if count else 0


PAGES = (Page("GET", "/places", ("decisions:read",), show),)
