/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/ack_filter.h"

#include "packet/ip_header.h"
#include "wire.h"

#include <string.h>

#define OPTION_END 0
#define OPTION_NOTHING 1
#define OPTION_SACK 5
#define OPTION_TIMESTAMPS 8
#define TIMESTAMPS_SIZE 10u
#define BLOCK_SIZE 8u

/* Sequence numbers wrap around (RFC 9293 section 3.4). */
static bool is_after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static bool read_blocks(const uint8_t *option, size_t size, struct gw_ack *ack)
{
    if (ack->block_count || size < 2 + BLOCK_SIZE || (size - 2) % BLOCK_SIZE)
        return false;
    for (size_t at = 2; at < size && ack->block_count < GW_ACK_BLOCKS; at += BLOCK_SIZE)
        ack->blocks[ack->block_count++] = (struct gw_block){ gw_read32(option + at), gw_read32(option + at + 4) };
    return true;
}

static bool read_stamps(const uint8_t *option, size_t size, struct gw_ack *ack)
{
    if (ack->stamped || size != TIMESTAMPS_SIZE)
        return false;
    ack->stamped = true;
    memcpy(ack->stamps, option + 2, sizeof(ack->stamps));
    return true;
}

static bool read_options(const uint8_t *options, size_t size, struct gw_ack *ack)
{
    while (size) {
        size_t length = *options == OPTION_NOTHING ? 1 : size > 1 ? options[1] : 0;

        if (!length || length > size || *options == OPTION_END)
            return false;
        if (*options == OPTION_SACK ? !read_blocks(options, length, ack)
            : *options == OPTION_TIMESTAMPS ? !read_stamps(options, length, ack)
            : *options != OPTION_NOTHING)
            return false;
        options += length;
        size -= length;
    }
    return true;
}

bool gw_ack_read(const uint8_t *tcp, size_t size, struct gw_ack *ack)
{
    *ack = (struct gw_ack){ .sequence = gw_read32(tcp + 4), .number = gw_read32(tcp + 8) };
    /* Reserved bits (Accurate ECN uses one, RFC 9768), flags, urgent pointer. */
    if (tcp[12] & 15 || tcp[13] != TCP_ACK || tcp[18] || tcp[19])
        return false;
    return read_options(tcp + TCP_HEADER, size - TCP_HEADER, ack);
}

static bool holds(const struct gw_block *outer, const struct gw_block *inner)
{
    return !is_after(outer->start, inner->start) && !is_after(inner->end, outer->end);
}

/* D-SACK: the first block is below the number, or inside the second block. */
static bool tells_of_twice(const struct gw_ack *ack)
{
    return ack->block_count && (!is_after(ack->blocks[0].start, ack->number) ||
                                (ack->block_count > 1 && holds(&ack->blocks[1], &ack->blocks[0])));
}

static bool repeats(const struct gw_ack *later, const struct gw_block *block)
{
    if (!is_after(block->end, later->number))
        return true;
    for (uint32_t i = 0; i < later->block_count; i++)
        if (holds(&later->blocks[i], block))
            return true;
    return false;
}

static bool repeats_all(const struct gw_ack *later, const struct gw_ack *earlier)
{
    for (uint32_t i = 0; i < earlier->block_count; i++)
        if (!repeats(later, &earlier->blocks[i]))
            return false;
    return true;
}

/* A block of three segments behind the number tells the sender that the segment between them is lost (IsLost of RFC 6675). */
static bool tells_of_loss(const struct gw_ack *ack, uint32_t loss)
{
    for (uint32_t i = 0; i < ack->block_count; i++)
        if (is_after(ack->blocks[i].start, ack->number) && !is_after(ack->blocks[i].start + loss, ack->blocks[i].end))
            return true;
    return false;
}

bool gw_ack_supersedes(const struct gw_ack *earlier, const struct gw_ack *later, uint32_t loss)
{
    if (is_after(earlier->number, later->number) || later->sequence != earlier->sequence || later->stamped != earlier->stamped ||
        memcmp(later->stamps, earlier->stamps, sizeof(later->stamps)) || tells_of_twice(earlier))
        return false;
    if (later->number == earlier->number && (!tells_of_loss(earlier, loss) || repeats_all(earlier, later)))
        return false;
    return repeats_all(later, earlier);
}
