# SPDX-License-Identifier: GPL-3.0-or-later
"""Many users log in at once by each method, whose servers answer: all get in, and nothing beside them waits.

host 1 10.77.1.2 (canary, one password login after the other), host 2 10.77.2.2 (the crowd) ── gateway 10.77.0.1
    loopback of the gateway: FreeRADIUS, slapd, an OpenID provider, a KDC; the PAM helper with modules of a test's own
OCSENTRY_LOGINS: logins at once by each method (1000 before a release).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import ssl
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import gssapi
import pytest

from admin_api.second_factors.secret_box import SecretBox
from admin_api.store import Store, UserAttributes
from lab.authority import Authority
from lab.clients.cstp_client import log_in, login_request, read_answer
from lab.clients.sso_window import pass_window, post, show_token
from lab.network import SERVER_IPV4
from lab.processes.programs import Program
from lab.server import OCSENTRY, PASSWORD
from lab.services import directory_server, freeradius, pam
from lab.services.directory_server import PEOPLE, SERVICE_DN, SERVICE_PASSWORD, person
from lab.services.kdc import Kdc
from lab.timeouts import TIMEOUT, time_limit
from lab.traffic.continuous_ping import ContinuousPing
from lab.traffic.probes import open_tls
from ocsentry.configuration.key_file import make_key
from vpn_frontend.auth.totp.codes import code_at, step_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOGINS = int(os.environ.get("OCSENTRY_LOGINS", "30"))
THREADS = 16
METHODS = ("radius", "ldap", "pam", "certificate", "gssapi", "oidc", "totp")
# An argon2id hash of PASSWORD that costs little: the storm is that of the codes.
CHEAP_HASH_COST = {"time_cost": 1, "memory_cost": 64, "parallelism": 1}
SECRET = b"12345678901234567890"  # of every user's device: codes count by user
PORT = 9400  # of the provider
POOL, INNER_IPV4 = "192.168.80.0/20", "192.168.80.1"  # with an address for each login
SERVICE = f"HTTP/{SERVER_IPV4}"
LATE = 0.05  # seconds: a round trip of the canary, 99 of 100
PROMPT = 1.0  # seconds: a login by another method
COMPLETE, BUSY = b'type="complete"', b"ry again"
CODE_REPLY = (
    '<config-auth client="vpn" type="auth-reply"><auth><secondary_password>{}</secondary_password></auth></config-auth>'
)
INIT = '<config-auth client="vpn" type="init"></config-auth>'


class Crowd(NamedTuple):
    """What is needed beside the server, as ``serve`` has started it."""

    authority: Authority
    kdc: Kdc
    box: SecretBox


@pytest.fixture
def services(lab, tmp_path):
    with ExitStack() as opened:
        gateway = lab.network.gateway
        radius = freeradius.FreeRadius(tmp_path / "raddb", gateway)
        lab.network.programs.append(radius.program)
        folder = tmp_path / "directory"
        folder.mkdir()
        entries = "".join(person(f"ldap{number}") for number in range(LOGINS))
        directory = opened.enter_context(directory_server.running(folder, entries, gateway))
        modules = pam.PamServices(tmp_path)
        modules.write("vpn", "auth required matrix", "account required matrix")
        for number in range(LOGINS):
            modules.allow(f"pam{number}", "vpn")
        kdc = Kdc(tmp_path / "kdc")
        opened.enter_context(kdc.running())
        claims = json.dumps({"sub": "1", "preferred_username": "dora", "groups": ["oidc"]})
        command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(PORT), "--host", "0.0.0.0"]
        provider = Program("provider", [*command, "--user-claims", claims], gateway)
        lab.network.programs.append(provider)
        provider.await_line("(?i)uvicorn running|startup complete")
        yield radius, directory, modules, kdc


@pytest.fixture
def server(lab, services, tmp_path):
    radius, directory, modules, kdc = services
    authority = Authority(tmp_path / "ca")
    (tmp_path / "ldap.secret").write_text(SERVICE_PASSWORD)
    (tmp_path / "oidc.secret").write_text("the client's secret\n")
    settings = {
        "vpn.limits": {"max_clients": 1024 + 16 * LOGINS, "max_same_clients": 0},
        "vpn.network": {"ipv4_pool": POOL, "dns": [INNER_IPV4]},
        "auth": {"timeout": 240},
        "auth.certificate": {"ca": str(authority.file)},
        "auth.gssapi": {"keytab": str(kdc.add_service(SERVICE))},
        "auth.ldap": {
            "url": f"ldaps://{directory_server.HOST}:{directory_server.SECURE_PORT}",
            "ca": str(directory.authority),
            "bind_dn": SERVICE_DN,
            "password_file": str(tmp_path / "ldap.secret"),
            "base": PEOPLE,
            "group_filter": "",
            "timeout": 60,
        },
        "auth.oidc": {
            "issuer": f"http://127.0.0.1:{PORT}",
            "client_id": "vpn",
            "client_secret_file": str(tmp_path / "oidc.secret"),
            "groups_claim": "groups",
        },
        "auth.pam": {"service": "vpn", "timeout": 60},
        "auth.radius": {"timeout": 20},
        "[auth.radius.servers]": {"address": f"127.0.0.1:{radius.port}", "secret_file": str(radius.secret_file)},
        "groups.totp.auth": {"methods": ["password"], "require": ["totp"]},
        **{f"groups.{name}.auth": {"methods": [name]} for name in METHODS if name != "totp"},
    }
    with modules.activated(tmp_path / "server0" / "ocsentry.toml") as helper:
        launcher = ["env", f"OCSENTRY_PAM_HELPER={helper}", f"KRB5RCACHEDIR={tmp_path}", OCSENTRY]
        served = lab.serve(settings=settings, builtin_limits=False, launcher=launcher)
        served.crowd = Crowd(authority, kdc, SecretBox(make_key(served.folder / "totp.key")))
        asyncio.run(add_users(served))
        yield served
        served.finish()


async def add_users(server):
    """One user for each login, in the group of the method. Those of ``totp`` are enrolled."""
    from argon2 import PasswordHasher  # noqa: PLC0415 - needed here alone

    cheap = PasswordHasher(**CHEAP_HASH_COST).hash(PASSWORD)
    store = await Store.open(f"sqlite:///{server.folder}/ocsentry.db")
    try:
        async with store.write() as unit:
            for method in METHODS:
                for number in range(LOGINS):
                    user = await unit.users.add(name_of(method, number), cheap, UserAttributes(groups=(method,)))
                    if method == "totp":
                        row = await unit.totp.begin(user, server.crowd.box.seal(SECRET, user.key))
                        await unit.totp.confirm(row, step_at(time.time()) - 10, [])
            await unit.users.add("gssapi", cheap, UserAttributes(groups=("gssapi",)))
    finally:
        await store.close()


def name_of(method, number):
    return f"user{number}" if method == "radius" else f"{method}{number}"


# -- the crowd


def say_at_once(streams, messages):
    """Sends every message before the first answer is read. Returns the answers."""
    for stream, message in zip(streams, messages, strict=True):
        stream.sendall(message)
    return [read_answer(stream) for stream in streams]


def open_as_owner(host, authority, number):
    files = authority.issue(f"certificate{number}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(files.certificate, files.key)
    return context.wrap_socket(host.namespace.connect((SERVER_IPV4, 443), timeout=TIMEOUT))


def form(method, number):
    return login_request(name_of(method, number), PASSWORD).replace(b"POST /auth ", f"POST /{method} ".encode())


def ticket(environment):
    """A request with a token of its own for the server."""
    name = gssapi.Name(f"HTTP@{SERVER_IPV4}", gssapi.NameType.hostbased_service)
    spnego = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
    credentials = gssapi.Credentials(usage="initiate", store={"ccache": environment["KRB5CCNAME"]})
    token = gssapi.SecurityContext(name=name, mech=spnego, creds=credentials, usage="initiate").step()
    header = f"Authorization: Negotiate {base64.b64encode(token).decode()}"
    return post(INIT, "X-Support-HTTP-Auth: true", header, path="/gssapi")


def give_codes(streams, answers):
    """The second round: what was a form for a code becomes the answer to the code of now."""
    code = code_at(SECRET, step_at(time.time()))
    asked = [number for number, answer in enumerate(answers) if b"secondary_password" in answer.body]
    contexts = [context_of(answers[number]) for number in asked]
    replies = [post(CODE_REPLY.format(code), f"Cookie: {context}", path="/totp") for context in contexts]
    given = dict(zip(asked, say_at_once([streams[number] for number in asked], replies), strict=True))
    return [given.get(number, answer) for number, answer in enumerate(answers)]


def context_of(answer):
    return next(
        found[0] for value in answer.headers["set-cookie"] if (found := re.match(r"webvpncontext=[^;]+", value))
    )


def log_all_in(pool, connect: Callable, request: Callable, finish: Callable | None = None) -> tuple[int, int]:
    """Logs in LOGINS users at once, and those who are told to come again once more, until all are in.

    Returns how many were told so, and the number of rounds.
    """
    waiting: Sequence[int] = range(LOGINS)
    told = rounds = 0
    while waiting:
        with ExitStack() as opened:
            streams = [opened.enter_context(stream) for stream in pool.map(connect, waiting)]
            answers = say_at_once(streams, [request(number) for number in waiting])
            if finish is not None:
                answers = finish(streams, answers)
        refused = [answer for answer in answers if COMPLETE not in answer.body and BUSY not in answer.body]
        assert not refused, refused[0]
        waiting = [number for number, answer in zip(waiting, answers, strict=True) if COMPLETE not in answer.body]
        told, rounds = told + len(waiting), rounds + 1
    return told, rounds


def storm_of(method, host, server, pool):
    """The work of one storm, to be done beside others."""
    crowd = server.crowd
    connect = lambda _: open_tls(host)  # noqa: E731
    if method == "certificate":
        request = partial(post, INIT, path="/certificate")
        return partial(log_all_in, pool, partial(open_as_owner, host, crowd.authority), lambda _: request())
    if method == "gssapi":
        crowd.kdc.add_user("gssapi")
        environment = crowd.kdc.log_in("gssapi", cache="gssapi")
        crowd.kdc.get_service_ticket(SERVICE, environment)
        return partial(log_all_in, pool, connect, lambda _: ticket(environment))
    if method == "oidc":
        return partial(pass_windows, host, pool)
    return partial(log_all_in, pool, connect, partial(form, method), give_codes if method == "totp" else None)


def pass_windows(host, pool):
    """As many browsers at once as there are threads: each needs several requests to the provider."""

    def pass_one(_):
        window = pass_window(host, f"127.0.0.1:{PORT}", PORT, "1", path="/oidc")
        return show_token(host, window, window.context).body

    told = rounds = 0
    waiting = LOGINS
    while waiting:
        bodies = [*pool.map(pass_one, range(waiting))]
        assert all(COMPLETE in body or BUSY in body for body in bodies), bodies[0]
        waiting = sum(COMPLETE not in body for body in bodies)
        told, rounds = told + waiting, rounds + 1
    return told, rounds


def test_a_crowd_gets_in_and_nothing_beside_it_waits(lab, server, monkeypatch):
    monkeypatch.setenv("KRB5_CONFIG", server.crowd.kdc.environment["KRB5_CONFIG"])
    host, crowd = lab.host(), lab.host()
    canary = server.connect(host)
    canary.await_up()
    pings = ContinuousPing(canary, INNER_IPV4)
    pings.await_replies(10)
    with ThreadPoolExecutor(THREADS) as pool, ThreadPoolExecutor(1) as beside:
        for method in METHODS:
            storm, began, others = storm_of(method, crowd, server, pool), time.monotonic(), []
            running = beside.submit(storm)
            while not running.done() or not others:
                since = time.monotonic()
                assert log_in(host, "bob", PASSWORD)
                others.append(time.monotonic() - since)
            told, rounds = running.result()
            times = pings.round_trips(began)
            worst = max(times, default=0.0)
            print(
                f"{method}: {LOGINS} in {time.monotonic() - began:.1f} s, {told} told to come again ({rounds} rounds); "
                f"beside it {len(others)} logins, median {statistics.median(others):.3f} s, "
                f"{len(times)} pings, worst {worst:.3f} s"
            )
            assert statistics.median(others) < time_limit(PROMPT), method
            assert len(times) < 100 or statistics.quantiles(times, n=100)[98] < time_limit(LATE), method
    assert pings.missing() == []
    canary.goodbye()
