# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server that publishes one list."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Publisher:
    """A web server with one list."""

    def __init__(self):
        self.body, self.etag, self.status, self.encoding = b"192.0.2.0/24\n", '"1"', 200, None
        self.location = None
        self.requests = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.requests.append(self.headers.get("If-None-Match"))
                same = publisher.etag and self.headers.get("If-None-Match") == publisher.etag
                status = 304 if same else publisher.status
                self.send_response(status)
                if publisher.etag:
                    self.send_header("ETag", publisher.etag)
                if publisher.location:
                    self.send_header("Location", publisher.location)
                if publisher.encoding:
                    self.send_header("Content-Encoding", publisher.encoding)
                self.end_headers()
                if status != 304:
                    self.wfile.write(publisher.body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/list"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def publisher():
    publisher = Publisher()
    yield publisher
    publisher.server.shutdown()
    publisher.server.server_close()
