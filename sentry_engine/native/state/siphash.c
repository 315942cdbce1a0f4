/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "state/siphash.h"

#include <errno.h>
#include <sys/random.h>

int se_secret_draw(struct se_secret *secret)
{
    uint8_t *at = (uint8_t *)secret;
    size_t missing = sizeof *secret;

    while (missing) {
        ssize_t drawn = getrandom(at, missing, 0);
        if (drawn < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        at += drawn;
        missing -= (size_t)drawn;
    }
    return 0;
}
