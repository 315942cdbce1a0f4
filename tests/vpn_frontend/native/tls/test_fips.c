/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The answers of a FIPS module, by stubs: the release archive of wolfSSL has none. Built with -DHAVE_FIPS.
 */
#include "gateway.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static int status, mode = 1, self_tests;

int wolfCrypt_GetStatus_fips(void) { return status; }
int wolfCrypt_GetMode_fips(void) { return mode; }
int wc_RunAllCast_fips(void) { return self_tests; }

int main(void)
{
    assert(!gw_fips_problem());
    status = -203;
    assert(strstr(gw_fips_problem(), "power-up"));
    status = 0;
    for (mode = 0; mode < 4; mode++)
        assert(mode == 1 ? !gw_fips_problem() : !!strstr(gw_fips_problem(), "normal mode"));
    mode = 1;
    self_tests = 1;
    assert(strstr(gw_fips_problem(), "self-test"));
    puts("ok");
    return 0;
}
