/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The directory and the paths against naive lists, on random histories; and what they do when they are full.
 */
#include "dtls/client_table.h"
#include "dtls/path_cache.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LIMIT 64u
#define ROUNDS 200000u

static uint64_t state = 88172645463325252u;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % limit;
}

struct listed {
    uint8_t key[GW_CLIENT_KEY];
    uint64_t session;
};

static struct listed list[LIMIT];
static uint32_t listed;

static uint64_t find_listed(const uint8_t *key)
{
    uint64_t found = 0;

    for (uint32_t i = 0; i < listed; i++)
        if (!memcmp(list[i].key, key, GW_CLIENT_KEY)) {
            if (found)
                return 0;
            found = list[i].session;
        }
    return found;
}

static void remove_listed(const uint8_t *key, uint64_t session)
{
    for (uint32_t i = 0; i < listed; i++)
        if (list[i].session == session && !memcmp(list[i].key, key, GW_CLIENT_KEY)) {
            list[i] = list[--listed];
            return;
        }
}

static void test_directory_is_a_list(void)
{
    struct gw_client_table directory;

    assert(gw_client_table_init(&directory, LIMIT, 99) == 0);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint8_t key[GW_CLIENT_KEY] = { (uint8_t)below(48), [31] = 1 };
        uint64_t session = 1 + below(6);

        if (below(2)) {
            int status = gw_client_table_add(&directory, key, session);

            assert(status == (listed == LIMIT ? -ENOSPC : 0));
            if (!status) {
                memcpy(list[listed].key, key, sizeof(key));
                list[listed++].session = session;
            }
        } else {
            gw_client_table_remove(&directory, key, session);
            remove_listed(key, session);
        }
        key[0] = (uint8_t)below(50);
        assert(gw_client_table_find(&directory, key) == find_listed(key));
        assert(directory.count == listed);
    }
    gw_client_table_free(&directory);
    gw_client_table_free(&directory);
}

static struct gw_path path_of(uint32_t number)
{
    struct gw_path path = { .peer = { [10] = 0xff, [11] = 0xff, [12] = 10 }, .peer_port = (uint16_t)number };

    path.peer[15] = (uint8_t)(number >> 16);
    return path;
}

static void test_paths_keep_the_newest(void)
{
    enum { SESSIONS = 512 };
    struct gw_path_cache paths;
    uint32_t lost = 0;

    assert(gw_path_cache_init(&paths, SESSIONS, 7) == 0);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct gw_path path = path_of(i);

        gw_path_cache_put(&paths, &path, i + 1, i + 1);
    }
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct gw_path path = path_of(i);

        assert(gw_path_cache_find(&paths, &path, SESSIONS) == i + 1);
    }
    for (uint32_t i = 0; i < 1000000; i++) {        /* a flood of paths; one stays in use throughout */
        struct gw_path busy = path_of(3), path = path_of(1000 + i);

        assert(gw_path_cache_find(&paths, &busy, SESSIONS + i) == 4);
        gw_path_cache_put(&paths, &path, 9, SESSIONS + i);
        assert(gw_path_cache_find(&paths, &path, SESSIONS + i) == 9);
    }
    for (uint32_t i = 4; i < SESSIONS; i++) {
        struct gw_path path = path_of(i);

        lost += !gw_path_cache_find(&paths, &path, SESSIONS);
    }
    assert(lost == SESSIONS - 4);
    gw_path_cache_free(&paths);
}

static void test_a_path_put_twice_takes_one_place(void)
{
    struct gw_path path = path_of(1);
    struct gw_path_cache paths;
    uint32_t taken = 0;

    assert(gw_path_cache_init(&paths, 1, 7) == 0);
    gw_path_cache_put(&paths, &path, 1, 1);
    gw_path_cache_put(&paths, &path, 2, 2);
    assert(gw_path_cache_find(&paths, &path, 3) == 2);
    path.socket = 1;
    assert(gw_path_cache_find(&paths, &path, 3) == 0);
    for (uint32_t i = 0; i < (paths.row_mask + 1) * GW_PATH_CACHE_ROW; i++)
        taken += paths.entries[i].session != 0;
    assert(taken == 1);
    gw_path_cache_free(&paths);
}

int main(void)
{
    test_directory_is_a_list();
    test_paths_keep_the_newest();
    test_a_path_put_twice_takes_one_place();
    puts("ok");
    return 0;
}
