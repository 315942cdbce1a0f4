# SPDX-License-Identifier: GPL-3.0-or-later
"""The running server, with its restrictions, delivers events to a receiver.

namespace: lo, the TUN device that the server makes, a receiver on 127.0.0.1
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from admin_api.webhooks.signature import parse_secret, sign
from lab.timeouts import TIMEOUT, eventually
from tests.ocsentry.served import Served, serving

pytestmark = pytest.mark.netns
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PORT = 9080
RECEIVER = f"""
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(json.dumps([self.path, {{k.lower(): v for k, v in self.headers.items()}}, body]), flush=True)
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", {PORT}), Handler)
print("ready", flush=True)
server.serve_forever()
"""


@pytest.fixture
def receiver(namespace):
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", RECEIVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process.stdout
        finally:
            process.kill()
            process.wait(TIMEOUT)


def test_deliveries_of_a_running_server(command_line, namespace, receiver):
    cli = command_line
    secret = cli.folder / "webhook.secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    text = cli.config.read_text()
    assert "[admin]\n" in text
    url = f"http://127.0.0.1:{PORT}"
    allowed = '[admin]\nwebhook_networks = ["127.0.0.0/8"]\n'
    entry = f'\n[[admin.webhook]]\nurl = "{url}/file"\nsecret_file = "webhook.secret"\nkinds = ["ready"]\n'
    cli.config.write_text(text.replace("[admin]\n", allowed) + entry)
    with serving(Served(cli, namespace)) as server:
        path, headers, body = json.loads(receiver.readline())
        assert (path, json.loads(body)["type"]) == ("/file", "ready")
        moment = int(headers["webhook-timestamp"])
        signed = sign(parse_secret(SECRET), headers["webhook-id"], moment, body.encode())
        assert signed["webhook-signature"] == headers["webhook-signature"]
        made = cli.json("webhook", "add", f"{url}/own", "--kind", "block_added")
        assert cli.json("webhook", "test", made["id"])["status"] == 204
        assert json.loads(receiver.readline())[0] == "/own"
        cli.ok("block", "198.51.100.0/24")
        path, _, body = json.loads(receiver.readline())
        assert (path, json.loads(body)["data"]["cidr"]) == ("/own", "198.51.100.0/24")
        rows = eventually(
            lambda: cli.json("webhook", "deliveries", made["id"]),
            lambda rows: [row["state"] for row in rows] == ["delivered"] * 2,
            "both delivered",
        )
        again = cli.json("webhook", "redeliver", made["id"], rows[0]["id"])
        assert again[0]["state"] == "pending"
        assert json.loads(receiver.readline())[2] == body
        assert {row["source"] for row in cli.json("webhook", "list")} == {"file", "api"}
        cli.ok("webhook", "set", made["id"], "--disable")
        assert "Enable the webhook" in cli.fails("webhook", "test", made["id"])
        cli.ok("webhook", "del", made["id"])
        server.stop()
