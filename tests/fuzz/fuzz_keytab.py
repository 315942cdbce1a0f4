# SPDX-License-Identifier: GPL-3.0-or-later
"""Keytabs: any file gives keys of the service alone, or a refusal that names the file. libkrb5 reads it here."""

import ctypes
import os
import sys

import atheris

with atheris.instrument_imports():
    from ocsentry.privileges.gssapi.keytab import LIBRARY, NAME, KeytabError, load_keytab

FILE = os.memfd_create("keytab")
PATH = f"/proc/self/fd/{FILE}"
KRB5 = ctypes.CDLL(LIBRARY)
CONTEXT = ctypes.c_void_p()
assert KRB5.krb5_init_context(ctypes.byref(CONTEXT)) == 0


def fuzz_one(data: bytes) -> None:
    os.ftruncate(FILE, 0)
    os.pwrite(FILE, data, 0)
    try:
        keytab = load_keytab(PATH, "HTTP")
    except KeytabError as error:
        assert PATH in str(error)
        return
    assert keytab.principals
    assert all(name.startswith("HTTP/") for name in keytab.principals)
    forget()


def forget() -> None:
    """The reader keeps the keys for the life of its process: two ends are one more than beginnings."""
    memory = ctypes.c_void_p()
    assert KRB5.krb5_kt_resolve(CONTEXT, NAME.encode(), ctypes.byref(memory)) == 0
    for _ in range(2):
        assert KRB5.krb5_kt_close(CONTEXT, memory) == 0


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
