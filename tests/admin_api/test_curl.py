# SPDX-License-Identifier: GPL-3.0-or-later
"""A shell script with curl manages the whole life of a block, a rule and a user, over a real TCP port."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest

from admin_api.server import ApiServer
from lab.timeouts import TIMEOUT
from vpn_frontend.settings import Endpoint

SCRIPT = Path(__file__).with_name("life.sh")


@pytest.mark.asyncio
async def test_a_script_manages_a_block_a_rule_and_a_user(server):
    listen = Endpoint(ip_address("127.0.0.1"), 0)
    api = ApiServer(server.app, server.services, listen=listen, socket_path=None)
    await api.start()
    try:
        url = f"http://127.0.0.1:{api.port}/api/v1"
        pipe = asyncio.subprocess.PIPE
        script = await asyncio.create_subprocess_exec(SCRIPT, url, server.token, stdout=pipe, stderr=pipe)
        async with asyncio.timeout(TIMEOUT):
            said, problems = await script.communicate()
    finally:
        await api.stop()
    assert (script.returncode, problems.decode()) == (0, "")
    assert said.decode().split("\n")[-2] == "done"
