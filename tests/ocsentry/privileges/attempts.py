# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that gives its privileges up as the server does, and then tries what must fail.

``python attempts.py ROLE MODE FOLDER NAME...``: restricted to FOLDER (MODE ``none``: not at all), run each attempt in
the main thread and in a new one. Prints one JSON object: name -> outcomes, ``done`` or the name of the error.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import sys
import threading
from pathlib import Path

from ocsentry.privileges import filters, linux
from ocsentry.privileges.drop import Restrictions, drop
from ocsentry.privileges.filters import Role
from ocsentry.privileges.reach import DEVICES, Reach, system_paths

CLONE_NEWUSER = 0x10000000
NUMBERS = {  # x86-64; arm64 where it differs
    "ptrace": (101, 117), "mount": (165, 40), "bpf": (321, 280), "init_module": (175, 105), "keyctl": (250, 219),
    "unshare": (272, 97), "setns": (308, 268), "clone": (56, 220), "mprotect": (10, 226), "io_uring_setup": (425, 425),
    "process_vm_readv": (310, 270), "perf_event_open": (298, 241), "reboot": (169, 142), "pivot_root": (155, 41),
    "memfd_create": (319, 279), "open_by_handle_at": (304, 265), "chroot": (161, 51), "personality": (135, 92),
}  # fmt: skip
ARM = os.uname().machine == "aarch64"


def call(name, *arguments):
    return linux.syscall(NUMBERS[name][ARM], *arguments)


def fork():
    reap(os.fork())


def clone_into_a_user_namespace():
    reap(call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0))


def reap(pid):
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def execute():
    os.execv("/bin/false", ["false"])


def open_raw_socket():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


def open_packet_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()


def open_vsock():
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()


def listen_on_tcp(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))


def connect_to_abstract_socket():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.environ["ABSTRACT_SOCKET"].replace("@", "\0", 1))


def map_writable_code():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def make_code_of_memory():
    memory = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    call("mprotect", address, 4096, 1 | 4)


def raise_core_limit():
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096))
    except ValueError as error:  # what Python makes of EPERM
        raise PermissionError(errno.EPERM, str(error)) from error


def become_dumpable():
    linux.prctl(linux.PR_SET_DUMPABLE, 1)


def write(path):
    with Path(path).open("a") as file:
        file.write("")


SECCOMP = {  # refused by the filter
    "fork": fork,
    "ptrace": lambda: call("ptrace", 1, os.getppid(), 0, 0),  # reads memory; attaching would stop the test itself
    "mount": lambda: call("mount", b"none", b"/mnt", b"no-such-type", 0, None),
    "setuid": lambda: os.setuid(0),
    "setresgid": lambda: os.setresgid(0, 0, 0),
    "setgroups": lambda: os.setgroups([0]),
    "raw socket": open_raw_socket,
    "packet socket": open_packet_socket,
    "vsock": open_vsock,
    "bpf": lambda: call("bpf", 0, None, 0),
    "init_module": lambda: call("init_module", None, 0, b""),
    "keyctl": lambda: call("keyctl", 0, -3, 0),
    "unshare": lambda: call("unshare", CLONE_NEWUSER),
    "setns": lambda: call("setns", -1, 0),
    "clone": clone_into_a_user_namespace,
    "signal": lambda: os.kill(os.getppid(), 0),
    "process_vm_readv": lambda: call("process_vm_readv", os.getppid(), None, 0, None, 0, 0),
    "perf_event_open": lambda: call("perf_event_open", None, 0, -1, -1, 0),
    "reboot": lambda: call("reboot", 0, 0, 0),
    "pivot_root": lambda: call("pivot_root", b"/", b"/"),
    "chroot": lambda: os.chroot("/"),
    "personality": lambda: call("personality", 0),
    "memfd_create": lambda: os.close(os.memfd_create("x")),
    "open_by_handle_at": lambda: call("open_by_handle_at", -1, None, 0),
    "writable code": map_writable_code,
    "code of memory": make_code_of_memory,
    "core limit": raise_core_limit,
    "dumpable": become_dumpable,
    "execve": execute,  # last: where it is not refused, it ends the program
}
WORKER = {  # allowed to the rest of the server, refused to a thread of the gateway
    "read a file": lambda: os.close(os.open(socket.__file__, os.O_RDONLY)),
    "TCP socket": lambda: socket.socket().close(),
    "UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
    "list a folder": lambda: list(Path(os.environ["ELSEWHERE"]).iterdir()),
    "pipe": os.pipe,
}
HELPER = {  # allowed to the server, refused to its helper
    "connect": lambda: socket.socket().connect(("127.0.0.1", 9)),
    "listen": lambda: socket.socket().listen(),
    "remove a file": lambda: Path(os.environ["ELSEWHERE"], "victim").unlink(),
    "make a folder": lambda: Path(os.environ["ELSEWHERE"], "folder").mkdir(),
}
NEWER = {"io_uring_setup": lambda: call("io_uring_setup", 1, None)}  # answered with ENOSYS
LANDLOCK = {
    "shadow": lambda: Path("/etc/shadow").read_bytes(),
    "read elsewhere": lambda: Path(os.environ["ELSEWHERE"], "file").read_bytes(),
    "list elsewhere": lambda: list(Path(os.environ["ELSEWHERE"]).iterdir()),
    "write elsewhere": lambda: write(f"{os.environ['ELSEWHERE']}/file"),
    "make elsewhere": lambda: write(f"{os.environ['ELSEWHERE']}/new"),
    "remove elsewhere": lambda: Path(os.environ["ELSEWHERE"], "victim").unlink(),
    "write what is read only": lambda: write(socket.__file__),
    "kernel settings": lambda: write("/proc/sys/kernel/hostname"),
    "memory of another process": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "TUN device": lambda: os.close(os.open("/dev/net/tun", os.O_RDWR)),
    "bind port 1": lambda: listen_on_tcp(1),
    "bind a high port": lambda: listen_on_tcp(0),
    "abstract socket": connect_to_abstract_socket,
}
ATTEMPTS = {**HELPER, **WORKER, **LANDLOCK, **NEWER, **SECCOMP}


def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "done"


def in_a_thread(attempt):
    found = []
    thread = threading.Thread(target=lambda: found.append(outcome(attempt)))
    thread.start()
    thread.join()
    return found[0]


def main():
    role, mode, folder, *names = sys.argv[1:]
    if mode != "none":
        reach = Reach((*system_paths(), Path(__file__).parents[3]), (Path(folder),), tuple(map(Path, DEVICES)))
        narrower = filters.build(Role.WORKER, mode)
        own = filters.build({"helper": Role.HELPER, "signer": Role.SIGNER}.get(role, Role.MAIN), mode)
        drop(Restrictions(None, own, reach))
        if role == "worker":
            linux.load_filter(narrower, all_threads=False)
    outcomes = {}
    for name in names:
        outcomes[name] = [outcome(ATTEMPTS[name])]
        if role == "main" and name != "execve":
            outcomes[name].append(in_a_thread(ATTEMPTS[name]))
    if role == "main":
        write(f"{folder}/allowed")
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
