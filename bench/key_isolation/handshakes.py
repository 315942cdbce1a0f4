# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.key_isolation.handshakes`: full TLS handshakes with the key in the server and in a signing process.

A gateway with one worker serves ``openssl s_time``. ``signing`` is the processor time of the thread that signs. It
stands for the process; Python's share of a connection is left out, as it is the same. Rounds are interleaved.
"""

from __future__ import annotations

import argparse
import re
import socket
import statistics
import subprocess
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from bench.machine import describe_machine
from lab.certificates import make_certificate
from sentry_engine import Engine, Policy
from vpn_frontend._gateway import ffi, lib
from vpn_frontend.gateway.certificates.server_certificate import ServerCertificate, load_certificate
from vpn_frontend.gateway.interface import GatewayConfig, TlsHost
from vpn_frontend.gateway.native_gateway import NativeGateway
from vpn_frontend.gateway.sockets import bind_listeners, start_listening
from vpn_frontend.settings import parse_endpoint

PORT = 47843
NUMBER = 1
ERROR_SIZE = 256


@dataclass(frozen=True, slots=True)
class Cost:
    """Per handshake: microseconds of processor time; and the rate."""

    worker: float
    signing: float
    rate: float


def processor_time(thread: int) -> int:
    """Nanoseconds that a thread of this process has run."""
    return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0])


def worker_thread() -> int:
    tasks = Path("/proc/self/task").iterdir()
    return next(int(task.name) for task in tasks if (task / "comm").read_text() == "gateway-0\n")


class Signer:
    """A thread that signs as the signing process does."""

    def __init__(self, certificate: ServerCertificate) -> None:
        private = load_pem_private_key(certificate.key, password=None)
        der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self._signer, error = lib.gw_signer_new(), ffi.new("char[]", ERROR_SIZE)
        if lib.gw_signer_add(self._signer, NUMBER, int(certificate.key_type), der, len(der), error, ERROR_SIZE):
            raise SystemExit(ffi.string(error).decode())
        ours, self._link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.given = ours.detach()
        self._thread = threading.Thread(target=lib.gw_signer_serve, args=(self._signer, self._link.fileno()))
        self._thread.start()

    def time(self) -> int:
        return processor_time(self._thread.native_id or 0)

    def close(self) -> None:
        self._thread.join()
        self._link.close()
        lib.gw_signer_free(self._signer)


def run_clients(seconds: int) -> int:
    """Returns how many handshakes were done."""
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{PORT}", "-new", "-time", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds * 20 + 60)
    found = re.search(r"^(\d+) connections in \d+ real seconds", done.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(done.stdout + done.stderr)
    return int(found[1])


def measure(certificate: ServerCertificate, seconds: int, *, isolated: bool) -> Cost:
    with ExitStack() as made:
        ours, queue = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.callback(ours.close)
        listeners = bind_listeners([parse_endpoint(f"127.0.0.1:{PORT}")], 1)
        start_listening(one for row in listeners for one in row)
        signer = Signer(certificate) if isolated else None
        if signer is not None:
            made.callback(signer.close)
        used = replace(certificate, key=b"", signer_key=NUMBER) if isolated else certificate
        engine = made.enter_context(Engine(Policy.from_document({"wolfsentry": {"version": "1.6.3", "rules": []}})))
        config = GatewayConfig(
            listeners=listeners,
            tuns=(queue.detach(),),
            hosts=(TlsHost((used,)),),
            gate=engine.gate_address,
            max_connections=4096,
            max_sessions=16,
            handshake_timeout=10.0,
            conversation_timeout=60.0,
            signers=() if signer is None else (signer.given,),
        )
        gateway = NativeGateway(config)
        made.callback(gateway.close)
        stop = threading.Event()
        reader = threading.Thread(target=read_events, args=(gateway, stop))
        reader.start()
        made.callback(reader.join)
        made.callback(stop.set)
        thread = worker_thread()
        before = processor_time(thread), 0 if signer is None else signer.time()
        count = run_clients(seconds)
        after = processor_time(thread), 0 if signer is None else signer.time()
    worker, signing = ((end - begin) / count / 1000 for begin, end in zip(before, after, strict=True))
    return Cost(worker, signing, count / seconds)


def read_events(gateway: NativeGateway, stop: threading.Event) -> None:
    while not stop.wait(0.02):
        gateway.events()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.key_isolation.handshakes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=int, default=3, metavar="S", help="of each measurement (default 3)")
    wanted = parser.parse_args()
    machine = describe_machine()
    print(f"{machine['processor']}, Linux {machine['kernel']}, load average before {machine['load_before']}.\n")
    with tempfile.TemporaryDirectory() as folder:
        make_certificate(Path(folder))
        certificate = load_certificate(Path(folder, "server.crt"), Path(folder, "server.key"))
    found: dict[str, list[Cost]] = {"off": [], "on": []}
    for _ in range(wanted.rounds):
        for mode, costs in found.items():
            costs.append(measure(certificate, wanted.seconds, isolated=mode == "on"))
    print("| key_isolation | worker, us | signing, us | both, us | handshakes a second |")
    print("|---|--:|--:|--:|--:|")
    for mode, costs in found.items():
        worker, signing, rate = (
            statistics.median(getattr(one, name) for one in costs) for name in ("worker", "signing", "rate")
        )
        print(f"| {mode} | {worker:.1f} | {signing:.1f} | {worker + signing:.1f} | {rate:.0f} |")


if __name__ == "__main__":
    main()
