/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PROXY headers: whole, cut at every length, with bytes appended, and each that has to be refused. Run under ASan and UBSan by
 * test_programs.py; every input lies at the end of an allocation of its own, so that a read past it is seen.
 */
#include "packet/proxy_header.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc6\x33\x64\x07\xc0\x00\x02\x01\xc3\x50\x01\xbb"      /* 198.51.100.7:50000 to 192.0.2.1:443 */
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xc3\x50\x01\xbb"
#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static enum gw_proxy_status read_copy(const uint8_t *data, size_t size, struct gw_proxy_header *header)
{
    uint8_t *copy = malloc(size ? size : 1);
    enum gw_proxy_status status;

    memcpy(copy, data, size);
    status = gw_proxy_header_read(copy, size, header);
    free(copy);
    return status;
}

/* A header is taken whole with anything behind it, and every part of it asks for more. */
static void accepts(const uint8_t *data, size_t size, enum gw_proxy_status expected, const uint8_t source[16])
{
    uint8_t longer[GW_PROXY_HEADER_MAX + 8];
    struct gw_proxy_header header;

    for (size_t part = 0; part < size; part++)
        assert(read_copy(data, part, &header) == GW_PROXY_MORE);
    memcpy(longer, data, size);
    memset(longer + size, '\n', 8);
    for (size_t more = 0; more <= 8; more++) {
        assert(read_copy(longer, size + more, &header) == expected);
        assert(header.size == size);
        if (expected == GW_PROXY_CLIENT) {
            assert(!memcmp(header.source, source, 16));
            assert(header.source_port == 50000 && header.destination_port == 443);
        }
    }
}

static void refuses(const uint8_t *data, size_t size, const char *why)
{
    struct gw_proxy_header header;

    assert(read_copy(data, size, &header) == GW_PROXY_INVALID);
    if (strcmp(header.why, why))
        fprintf(stderr, "%s, not %s\n", header.why, why);
    assert(!strcmp(header.why, why));
}

static void test_version_1(const uint8_t mapped[16], const uint8_t six[16])
{
    static const char longest[] = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    char endless[200];
    struct gw_proxy_header header;

    accepts(BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 50000 443\r\n"), GW_PROXY_CLIENT, mapped);
    accepts(BYTES("PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n"), GW_PROXY_CLIENT, six);
    accepts(BYTES("PROXY TCP6 ::ffff:198.51.100.7 ::ffff:192.0.2.1 50000 443\r\n"), GW_PROXY_CLIENT, mapped);
    assert(read_copy(BYTES(longest), &header) == GW_PROXY_CLIENT);
    refuses(BYTES("PROXY UNKNOWN\r\n"), "a client without an address");
    refuses(BYTES("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), "a client without an address");
    refuses(BYTES("PROXY TCP4 0.0.0.0 192.0.2.1 1 2\r\n"), "a client without an address");
    refuses(BYTES("PROXY UDP4 198.51.100.7 192.0.2.1 1 2\r\n"), "an unknown protocol");
    refuses(BYTES("PROXY \r\n"), "an unknown protocol");
    refuses(BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 1 65536\r\n"), "a malformed line");
    refuses(BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 1 +2\r\n"), "a malformed line");
    refuses(BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 01 2\r\n"), "a malformed line");
    refuses(BYTES("PROXY TCP4  198.51.100.7 192.0.2.1 1 2\r\n"), "a malformed line");
    refuses(BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 1 2 \r\n"), "a malformed line");
    refuses(BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 1 2 3\r\n"), "a malformed line");
    refuses(BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 1\r\n"), "a malformed line");
    refuses(BYTES("PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n"), "a malformed line");
    refuses(BYTES("PROXY TCP4 198.51.100.300 192.0.2.1 1 2\r\n"), "a malformed line");
    refuses(BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 1 2\n"), "a malformed line");
    refuses(BYTES("PROXY TCP4 198.51.100.7\0 192.0.2.1 1 2\r\n"), "a malformed line");
    memset(endless, '1', sizeof(endless));
    memcpy(endless, "PROXY ", 6);
    assert(read_copy((uint8_t *)endless, 106, &header) == GW_PROXY_MORE);
    refuses((uint8_t *)endless, 107, "a line without an end");
    refuses((uint8_t *)endless, sizeof(endless), "a line without an end");
}

static void test_version_2(const uint8_t mapped[16], const uint8_t six[16])
{
    accepts(BYTES(START "\x21\x11\0\x0c" V4), GW_PROXY_CLIENT, mapped);
    accepts(BYTES(START "\x21\x21\0\x24" V6), GW_PROXY_CLIENT, six);
    accepts(BYTES(START "\x21\x11\0\x11" V4 "\x02\0\x02hi"), GW_PROXY_CLIENT, mapped);
    accepts(BYTES(START "\x20\0\0\0"), GW_PROXY_LOCAL, NULL);
    accepts(BYTES(START "\x20\x11\0\x0c" V4), GW_PROXY_LOCAL, NULL);
    accepts(BYTES(START "\x20\0\0\x03\xff\xff\xff"), GW_PROXY_LOCAL, NULL);
    refuses(BYTES(START "\x11\x11\0\x0c" V4), "an unknown version");
    refuses(BYTES(START "\x22\x11\0\x0c" V4), "an unknown command");
    refuses(BYTES(START "\x21\0\0\0"), "a client without an address");
    refuses(BYTES(START "\x21\x11\0\x0c\0\0\0\0\xc0\x00\x02\x01\xc3\x50\x01\xbb"), "a client without an address");
    refuses(BYTES(START "\x21\x12\0\x0c" V4), "a client that does not come over TCP");
    refuses(BYTES(START "\x21\x31\0\xd8"), "a client that does not come over TCP");
    refuses(BYTES(START "\x21\x11\0\x0b" V4), "a header that is too short for its addresses");
    refuses(BYTES(START "\x21\x21\0\x0c" V4), "a header that is too short for its addresses");
    refuses(BYTES(START "\x21\x11\x07\xf1" V4), "a header that is too long");
    refuses(BYTES(START "\x21\x11\0\x0e" V4 "\x02\0"), "a malformed TLV");
    refuses(BYTES(START "\x21\x11\0\x10" V4 "\x02\0\x02h"), "a malformed TLV");
    refuses(BYTES(START "\x21\x11\0\x12" V4 "\x03\0\x03" "abc"), "a wrong checksum");
    refuses(BYTES(START "\x21\x11\0\x13" V4 "\x03\0\x04" "abcd"), "a wrong checksum");
}

/* CRC-32C of the whole header, its own bytes taken as zero (computed apart, bit by bit from the polynomial 0x1EDC6F41). */
static void test_checksum(const uint8_t mapped[16])
{
    uint8_t header[] = START "\x21\x11\0\x13" V4 "\x03\0\x04\0\0\0\0";
    size_t size = sizeof(header) - 1;
    uint32_t crc = UINT32_MAX, reversed = 0;

    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t top = crc >> 31 ^ (header[i] >> bit & 1u);

            crc = crc << 1 ^ (top ? 0x1edc6f41u : 0);
        }
    for (int bit = 0; bit < 32; bit++)
        reversed |= (~crc >> bit & 1u) << (31 - bit);
    for (int i = 0; i < 4; i++)
        header[size - 4 + (size_t)i] = (uint8_t)(reversed >> (24 - 8 * i));
    accepts(header, size, GW_PROXY_CLIENT, mapped);
    header[size - 1] ^= 1;
    refuses(header, size, "a wrong checksum");
}

int main(void)
{
    static const uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff, 198, 51, 100, 7 };
    static const uint8_t six[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 };
    struct gw_proxy_header header;

    test_version_1(mapped, six);
    test_version_2(mapped, six);
    test_checksum(mapped);
    refuses(BYTES("\x16\x03\x01\x02\x00\x01"), "no header");
    refuses(BYTES("GET / HTTP/1.1\r\n"), "no header");
    refuses(BYTES("PROXX"), "no header");
    assert(read_copy(BYTES(""), &header) == GW_PROXY_MORE);
    puts("ok");
    return 0;
}
