/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One-time codes (RFC 6238: SHA-1, six digits, 30 seconds) of users who share one secret.
 */
#ifndef BENCH_LOAD_TOTP_H
#define BENCH_LOAD_TOTP_H

#include <stdint.h>

#define LC_CODE 8                       /* bytes of a code, its end included */
#define LC_CODES 3                      /* that a server takes of a user at any time: one step before, now, one step after */

/* The code of the present step plus `step`. 0 or a negative errno. */
int lc_totp(long step, char code[LC_CODE]);

#endif
