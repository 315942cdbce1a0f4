# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the console's map: ``python -m lab.drawings.world_map COUNTRIES-110M.JSON``.

Reads ``countries-110m.json`` of the npm package world-atlas (TopoJSON of Natural Earth, public domain) and the codes of
Debian's package iso-codes, and writes ``SHAPES``: the outline of each country as an SVG path, in the Equal Earth
projection (Savric, Patterson, Jenny 2018). Antarctica is left out: it has no addresses and a quarter of the height.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from math import asin, cos, radians, sin, sqrt
from pathlib import Path
from typing import Any

SHAPES = Path(__file__).parents[2] / "admin_api/console/world/shapes.json"
CODES = Path("/usr/share/iso-codes/json/iso_3166-1.json")
KOSOVO = "XK"  # user-assigned, and what GeoIP databases use
WITHOUT_NUMBER = {"Kosovo": KOSOVO}  # Northern Cyprus and Somaliland have no code
LEFT_OUT = "AQ"
WIDTH = 1000  # of the drawing; coordinates are whole numbers
HALF_HEIGHT = 243  # where the projection has its poles, in the same unit
POLYNOMIAL = (1.340264, -0.081106, 0.000893, 0.003796)
EDGE = 2.7066299836960748  # x of the projection at 180 degrees on the equator

Point = tuple[int, int]
Place = tuple[float, float]  # longitude and latitude in degrees


def project(longitude: float, latitude: float) -> Point:
    """Degrees to units of the drawing, whose origin is the upper left corner."""
    a1, a2, a3, a4 = POLYNOMIAL
    angle = asin(sqrt(3) / 2 * sin(radians(latitude)))
    power = angle * angle
    slope = a1 + 3 * a2 * power + power**3 * (7 * a3 + 9 * a4 * power)
    x = 2 * sqrt(3) / 3 * radians(longitude) * cos(angle) / slope
    y = angle * (a1 + a2 * power + power**3 * (a3 + a4 * power))
    scale = WIDTH / 2 / EDGE
    return round(WIDTH / 2 + x * scale), round(HALF_HEIGHT - y * scale)


def read_arcs(topology: dict[str, Any]) -> list[list[Place]]:
    """Undoes quantization and differences (TopoJSON 2.1.2)."""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        places = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            places.append((x * sx + tx, y * sy + ty))
        arcs.append(places)
    return arcs


def join(ring: list[int], arcs: list[list[Place]]) -> list[Place]:
    """Returns the ring with longitudes that go on beyond 180 degrees where it crosses the antimeridian."""
    places: list[Place] = []
    for number in ring:
        arc = arcs[number] if number >= 0 else arcs[~number][::-1]
        places += arc if not places else arc[1:]
    turned, whole = [places[0]], 0.0
    for (before, _), (longitude, latitude) in pairwise(places):
        whole += 360 if longitude - before < -180 else -360 if longitude - before > 180 else 0
        turned.append((longitude + whole, latitude))
    return turned


def cut(ring: list[Place]) -> list[list[Place]]:
    """Returns the parts of a ring on this side of the antimeridian, and those beyond it moved to where they are."""
    return [
        [(min(180.0, max(-180.0, longitude + turn)), latitude) for longitude, latitude in ring]
        for turn in (0, -360, 360)
        if any(-180 < longitude + turn < 180 for longitude, _ in ring)
    ]


def path_of(ring: list[Place]) -> str:
    """Returns an SVG path of relative steps; empty for a ring that shrinks to a line."""
    points = [project(*place) for place in ring]
    corners = [point for i, point in enumerate(points) if i == 0 or point != points[i - 1]]
    if len(set(corners)) < 3:
        return ""
    steps = [f"{bx - ax} {by - ay}" for (ax, ay), (bx, by) in pairwise(corners[:-1])]
    return f"M{corners[0][0]} {corners[0][1]}l{' '.join(steps)}z".replace(" -", "-")


def draw(topology: dict[str, Any], codes: dict[str, str]) -> dict[str, list[str]]:
    """Returns name and path by ISO 3166-1 code. ``codes``: from numeric to alpha-2."""
    arcs, shapes = read_arcs(topology), {}
    for country in topology["objects"]["countries"]["geometries"]:
        name = country["properties"]["name"]
        code = codes.get(country.get("id", ""), WITHOUT_NUMBER.get(name, ""))
        rings = country["arcs"] if country["type"] == "Polygon" else [ring for part in country["arcs"] for ring in part]
        path = "".join(path_of(part) for ring in rings for part in cut(join(ring, arcs)))
        if code and code != LEFT_OUT and path:
            shapes[code] = [name, path]
    return dict(sorted(shapes.items()))


def main() -> None:
    entries = json.loads(CODES.read_text())["3166-1"]
    codes = {entry["numeric"]: entry["alpha_2"] for entry in entries}
    shapes = draw(json.loads(Path(sys.argv[1]).read_text()), codes)
    lines = ",\n".join(f"{json.dumps(code)}: {json.dumps(shape)}" for code, shape in shapes.items())
    SHAPES.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
