# SPDX-License-Identifier: GPL-3.0-or-later
"""A browser without a screen, for `openconnect --external-browser`: follows redirects, keeps cookies, logs in.

    python browser.py --user SUB --provider HOST:PORT=ADDRESS:PORT URL

At a page of the provider it logs in as SUB. The provider is reached at the second address, because its issuer names one
that is the server's own.
"""

from __future__ import annotations

import argparse
import http.client
import os
import ssl
from urllib.parse import urlencode, urljoin, urlsplit

TIMEOUT = 20.0  # seconds for one request
MAX_PAGES = 12
MAX_DESCRIPTOR = 64


def close_inherited() -> None:
    """openconnect 9.01 leaks the socket it waits on, which would keep the port busy."""
    os.closerange(3, MAX_DESCRIPTOR)


def fetch(url: str, cookies: dict[str, str], provider: str, address: str, user: str) -> tuple[int, str]:
    """Returns the status and the location."""
    parts = urlsplit(url)
    at_provider = parts.netloc == provider
    host = address if at_provider else parts.netloc.replace("localhost", "[::1]")
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, timeout=TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT)
    headers = {"Host": parts.netloc}
    own = {name.partition(" ")[2]: value for name, value in cookies.items() if name.startswith(f"{parts.netloc} ")}
    if own:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in own.items())
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if at_provider:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request("POST", target, urlencode({"sub": user}), headers)
    else:
        connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    response.read()
    for value in response.headers.get_all("set-cookie", []):
        name, _, content = value.partition(";")[0].partition("=")
        cookies[f"{parts.netloc} {name}"] = content
    connection.close()
    location = response.headers.get("location", "")
    return response.status, urljoin(url, location) if location else ""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--user", required=True)
    parser.add_argument("--provider", required=True)
    parser.add_argument("url")
    arguments = parser.parse_args()
    close_inherited()
    provider, _, address = arguments.provider.partition("=")
    url, cookies = arguments.url, {}
    for _ in range(MAX_PAGES):
        status, url = fetch(url, cookies, provider, address, arguments.user)
        print(f"browser: {status} {url.partition('?')[0]}", flush=True)
        if not url:
            return


if __name__ == "__main__":
    main()
