# SPDX-License-Identifier: GPL-3.0-or-later
"""Every panel of the dashboard has data from a real server that Debian's prometheus scrapes.

host 1 10.77.1.2 ── gateway 10.77.0.1, `ocsentry serve` and prometheus

OCSENTRY_DASHBOARD_PICTURE: writes what the panels show to this file, as SVG. OCSENTRY_DASHBOARD_SECONDS: of traffic in
that picture.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from lab.clients.cstp_client import log_in
from lab.drawings.dashboard import draw_dashboard, expressions_of, read_series
from lab.server import INNER_IPV4, PASSWORD
from lab.services.prometheus import INSTANCE, INTERVAL, Prometheus
from lab.timeouts import eventually

DASHBOARD = json.loads((Path(__file__).parents[3] / "contrib/grafana/ocsentry.json").read_text())
PICTURE = os.environ.get("OCSENTRY_DASHBOARD_PICTURE")
SECONDS = float(os.environ.get("OCSENTRY_DASHBOARD_SECONDS", "0"))
RATE = f"{max(4, int(8 * INTERVAL))}s"
# What does not happen here: a list that is downloaded, a packet that is dropped, the end of DTLS, of a session.
WITHOUT_DATA = {"Age of lists", "Dropped packets of tunnels", "Fallbacks from DTLS by cause", "Ends of sessions"}


def use(server, host):
    """Logs in well and wrongly, sends packets, blocks and asks."""
    client = server.connect(host, dtls=True)
    client.await_up()
    client.await_dtls()
    wrong = server.connect(host, user="bob", password="wrong")
    wrong.await_exit()
    server.api.block("198.51.100.0/24", "A test")
    return client


def read_panels(prometheus, began):
    """Returns the series of each panel by its id."""
    end = time.time()
    data = {}
    for panel in DASHBOARD["panels"]:
        series = data[panel["id"]] = []
        for expression, legend in expressions_of(panel, interval=RATE, instance=INSTANCE):
            found = prometheus.query(expression, start=began, end=end, step=INTERVAL)
            series += read_series(found, legend)
    return data


def test_every_panel_has_data(lab):
    server = lab.serve(settings={"vpn": {"dtls": True}})
    prometheus = Prometheus(lab.network, lab.servers[0].folder / "prometheus")
    began = time.time()
    host = lab.host()
    client = use(server, host)

    def look():
        assert client.ping(INNER_IPV4, count=3) == 1.0
        log_in(host, "bob", PASSWORD)  # rates and quantiles are of what happens now
        server.api.get("/api/v1/explain?address=198.51.100.7")
        return read_panels(prometheus, began)

    titles = {panel["id"]: panel["title"] for panel in DASHBOARD["panels"] if panel["type"] != "row"}

    def empty(data):
        return {title for number, title in titles.items() if not data[number]} - WITHOUT_DATA

    data = eventually(look, lambda data: not empty(data) and time.time() - began > SECONDS, "data in every panel")
    drawn = draw_dashboard(DASHBOARD, data)
    assert drawn.count("no data") <= len(WITHOUT_DATA)
    if PICTURE:
        Path(PICTURE).write_text(drawn)
    client.goodbye()
    server.await_sessions(0)
