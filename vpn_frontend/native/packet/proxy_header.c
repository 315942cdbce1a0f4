/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/proxy_header.h"

#include "packet/address.h"
#include "wire.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#define V1_MAX 107u             /* bytes of the longest line, with CR LF */
#define V2_FIXED 16u
#define V2_LOCAL 0x20u          /* version and command */
#define V2_PROXY 0x21u
#define V2_TCP4 0x11u           /* family and transport */
#define V2_TCP6 0x21u
#define V2_IPV4_SIZE 12u        /* bytes of the addresses and ports */
#define V2_IPV6_SIZE 36u
#define TLV_FIXED 3u
#define TLV_CRC32C 0x03u

static const uint8_t V1_START[6] = { 'P', 'R', 'O', 'X', 'Y', ' ' };
static const uint8_t V2_START[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

static enum gw_proxy_status refuse(struct gw_proxy_header *header, const char *why)
{
    header->why = why;
    return GW_PROXY_INVALID;
}

static bool starts_with(const uint8_t *data, size_t size, const uint8_t *start, size_t start_size)
{
    return !memcmp(data, start, size < start_size ? size : start_size);
}

static bool is_unspecified(const uint8_t address[16])
{
    static const uint8_t none[16];

    return !memcmp(address, none, 16) || (gw_is_mapped(address) && !memcmp(address + 12, none, 4));
}

/* Cuts the next word off *line, at a single blank or the end. Returns NULL for an empty one. */
static const char *next_word(char **line)
{
    char *word = *line, *end = strchr(word, ' ');

    *line = end ? end + 1 : word + strlen(word);
    if (end)
        *end = '\0';
    return *word ? word : NULL;
}

static bool read_address(const char *word, int family, uint8_t out[16])
{
    uint8_t address[16];

    if (!word || inet_pton(family, word, address) != 1)
        return false;
    if (family == AF_INET)
        gw_map_ipv4(out, address);
    else
        memcpy(out, address, 16);
    return true;
}

static bool read_port(const char *word, uint16_t *out)
{
    uint32_t value = 0;

    if (!word || strlen(word) > 5 || (word[0] == '0' && word[1]))
        return false;
    for (; *word; word++) {
        if (*word < '0' || *word > '9')
            return false;
        value = value * 10 + (uint32_t)(*word - '0');
    }
    *out = (uint16_t)value;
    return value <= UINT16_MAX;
}

static enum gw_proxy_status read_v1(const uint8_t *data, size_t size, struct gw_proxy_header *header)
{
    char text[V1_MAX + 1], *line = text + sizeof(V1_START);
    const uint8_t *end = memchr(data, '\n', size < V1_MAX ? size : V1_MAX);
    const char *words[5];
    size_t length;
    int family;

    if (!end)
        return size < V1_MAX ? GW_PROXY_MORE : refuse(header, "a line without an end");
    length = (size_t)(end - data);
    if (data[length - 1] != '\r' || memchr(data, '\0', length))
        return refuse(header, "a malformed line");
    memcpy(text, data, length - 1);
    text[length - 1] = '\0';
    for (size_t i = 0; i < 5; i++)
        words[i] = next_word(&line);
    if (words[0] && !strcmp(words[0], "UNKNOWN"))
        return refuse(header, "a client without an address");
    if (!words[0] || (strcmp(words[0], "TCP4") && strcmp(words[0], "TCP6")))
        return refuse(header, "an unknown protocol");
    family = words[0][3] == '4' ? AF_INET : AF_INET6;
    if (*line || data[length - 2] == ' ' || !read_address(words[1], family, header->source) ||
        !read_address(words[2], family, header->destination) || !read_port(words[3], &header->source_port) ||
        !read_port(words[4], &header->destination_port))
        return refuse(header, "a malformed line");
    header->size = length + 1;
    return GW_PROXY_CLIENT;
}

/* RFC 3720 appendix B.4. Four bytes at `zeroed` count as 0. */
static uint32_t crc32c(const uint8_t *data, size_t size, const uint8_t *zeroed)
{
    uint32_t crc = UINT32_MAX;

    for (const uint8_t *at = data; at < data + size; at++) {
        crc ^= at >= zeroed && at < zeroed + 4 ? 0 : *at;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* NULL: the TLVs from `at` on fill the header, and its checksum is right if there is one. */
static const char *tlv_fault(const uint8_t *data, size_t size, size_t at)
{
    while (at < size) {
        size_t length;

        if (size - at < TLV_FIXED)
            return "a malformed TLV";
        length = gw_read16(data + at + 1);
        if (length > size - at - TLV_FIXED)
            return "a malformed TLV";
        at += TLV_FIXED;
        if (data[at - TLV_FIXED] == TLV_CRC32C &&
            (length != 4 || gw_read32(data + at) != crc32c(data, size, data + at)))
            return "a wrong checksum";
        at += length;
    }
    return NULL;
}

static enum gw_proxy_status read_v2(const uint8_t *data, size_t size, struct gw_proxy_header *header)
{
    const uint8_t *addresses = data + V2_FIXED;
    size_t whole, needed;
    const char *fault;

    if (size > 12 && data[12] != V2_PROXY && data[12] != V2_LOCAL)
        return refuse(header, data[12] >> 4 == 2 ? "an unknown command" : "an unknown version");
    if (size < V2_FIXED)
        return GW_PROXY_MORE;
    whole = V2_FIXED + gw_read16(data + 14);
    if (whole > GW_PROXY_HEADER_MAX)
        return refuse(header, "a header that is too long");
    if (data[12] == V2_PROXY && data[13] != V2_TCP4 && data[13] != V2_TCP6)
        return refuse(header, data[13] ? "a client that does not come over TCP" : "a client without an address");
    needed = data[12] == V2_LOCAL ? 0 : data[13] == V2_TCP4 ? V2_IPV4_SIZE : V2_IPV6_SIZE;
    if (whole < V2_FIXED + needed)
        return refuse(header, "a header that is too short for its addresses");
    if (size < whole)
        return GW_PROXY_MORE;
    header->size = whole;
    if (data[12] == V2_LOCAL)
        return GW_PROXY_LOCAL;          /* what it carries is to be skipped */
    if (data[13] == V2_TCP4) {
        gw_map_ipv4(header->source, addresses);
        gw_map_ipv4(header->destination, addresses + 4);
    } else {
        memcpy(header->source, addresses, 16);
        memcpy(header->destination, addresses + 16, 16);
    }
    header->source_port = gw_read16(addresses + needed - 4);
    header->destination_port = gw_read16(addresses + needed - 2);
    fault = tlv_fault(data, whole, V2_FIXED + needed);
    return fault ? refuse(header, fault) : GW_PROXY_CLIENT;
}

enum gw_proxy_status gw_proxy_header_read(const uint8_t *data, size_t size, struct gw_proxy_header *header)
{
    enum gw_proxy_status status;

    *header = (struct gw_proxy_header){ 0 };
    if (starts_with(data, size, V1_START, sizeof(V1_START)))
        status = size < sizeof(V1_START) ? GW_PROXY_MORE : read_v1(data, size, header);
    else if (starts_with(data, size, V2_START, sizeof(V2_START)))
        status = size < sizeof(V2_START) ? GW_PROXY_MORE : read_v2(data, size, header);
    else
        return refuse(header, "no header");
    if (status == GW_PROXY_CLIENT && is_unspecified(header->source))
        return refuse(header, "a client without an address");
    return status;
}
