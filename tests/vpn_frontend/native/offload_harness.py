# SPDX-License-Identifier: GPL-3.0-or-later
"""``gro.c``, ``ack_filter.c`` and ``gso.c`` alone, compiled with lists to work on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cffi
import pytest

ROOT = Path(__file__).parents[3]
NATIVE = ROOT / "vpn_frontend/native"
LOSS = 4380  # bytes of three segments of Ethernet

HARNESS = """
#include <string.h>
#include "vpn_frontend/native/packet/gro.h"
#include "vpn_frontend/native/packet/gso.h"
static struct { uint8_t *at; uint32_t *sizes; uint8_t *headers; uint32_t count; } out;
static void emit(void *owner, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size)
{
    (void)owner;
    memcpy(out.at, packet, size);
    memcpy(out.headers + 10 * out.count, header, 10);
    out.sizes[out.count++] = (uint32_t)size;
    out.at += size;
}
static uint32_t merge(const uint8_t *data, const uint32_t *sizes, uint32_t count, int tcp, int udp, int acks,
                      uint32_t loss, uint8_t *to, uint32_t *to_sizes, uint8_t *headers)
{
    struct gw_gro c;
    out.at = to; out.sizes = to_sizes; out.headers = headers; out.count = 0;
    if (gw_gro_init(&c, emit, 0)) return 0;
    c.tcp = tcp; c.udp = udp; c.acks = acks; c.loss = loss;
    for (uint32_t i = 0; i < count; data += sizes[i++]) gw_gro_take(&c, data, sizes[i]);
    gw_gro_flush(&c);
    gw_gro_free(&c);
    return out.count;
}
static int split(const uint8_t *header, const uint8_t *packet, uint32_t size, uint8_t *to, uint32_t *to_sizes)
{
    struct virtio_net_hdr h; struct gw_gso s; int count = 0; size_t part;
    memset(&h, 0, sizeof(h));
    memcpy(&h, header, 10);
    if (gw_gso_begin(&s, &h, packet, size)) return -1;
    while ((part = gw_gso_next(&s, to, 65535))) { to += part; to_sizes[count++] = (uint32_t)part; }
    return count;
}
static int complete(const uint8_t *header, uint8_t *packet, uint32_t size)
{
    struct virtio_net_hdr h;
    memset(&h, 0, sizeof(h));
    memcpy(&h, header, 10);
    return gw_checksum_complete(&h, packet, size);
}
"""


def build_offloads(folder):
    """Compiles the harness in ``folder``; an ``Offloads``."""
    ffi = cffi.FFI()
    ffi.cdef(
        "uint32_t merge(const uint8_t *, const uint32_t *, uint32_t, int, int, int, uint32_t,"
        "               uint8_t *, uint32_t *, uint8_t *);"
        "int split(const uint8_t *, const uint8_t *, uint32_t, uint8_t *, uint32_t *);"
        "int complete(const uint8_t *, uint8_t *, uint32_t);"
    )
    sources = [str(NATIVE / "packet" / name) for name in ("ack_filter.c", "checksum.c", "gro.c", "gso.c")]
    ffi.set_source(
        "_offloads",
        HARNESS,
        sources=sources,
        include_dirs=[str(ROOT), str(NATIVE)],
        extra_compile_args=["-D_GNU_SOURCE"],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LD_PRELOAD", raising=False)
        path = ffi.compile(tmpdir=str(folder))
    spec = importlib.util.spec_from_file_location("_offloads", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Offloads(module)


class Offloads:
    def __init__(self, module):
        self._lib, self._ffi = module.lib, module.ffi

    def merge(self, packets, *, tcp=True, udp=True, acks=False, loss=LOSS):
        """[(header, packet)], as they would be written to the TUN device."""
        data, sizes = b"".join(packets), [len(packet) for packet in packets]
        room = self._ffi.new("uint8_t[]", len(data) + 1)
        out_sizes = self._ffi.new("uint32_t[]", len(packets) + 1)
        headers = self._ffi.new("uint8_t[]", 10 * len(packets) + 10)
        count = self._lib.merge(data, sizes, len(packets), tcp, udp, acks, loss, room, out_sizes, headers)
        result, at = [], 0
        for i in range(count):
            result.append((bytes(headers[10 * i : 10 * i + 10]), bytes(room[at : at + out_sizes[i]])))
            at += out_sizes[i]
        return result

    def split(self, header, packet):
        room, sizes = self._ffi.new("uint8_t[]", 4 << 20), self._ffi.new("uint32_t[]", 65536)
        count = self._lib.split(header, packet, len(packet), room, sizes)
        if count < 0:
            return None
        result, at = [], 0
        for i in range(count):
            result.append(bytes(room[at : at + sizes[i]]))
            at += sizes[i]
        return result

    def complete(self, header, packet):
        room = self._ffi.new("uint8_t[]", packet)
        status = self._lib.complete(header, room, len(packet))
        return bytes(room)[: len(packet)] if status == 0 else None

    def there_and_back(self, packets, **kinds):
        result = []
        for header, packet in self.merge(packets, **kinds):
            result += [packet] if header[1] == 0 else self.split(header, packet)
        return result
