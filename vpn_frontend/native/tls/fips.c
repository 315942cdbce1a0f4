/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether wolfSSL is a FIPS 140 module that works. The release archive has no module: wolfSSL sells it, or gives a "FIPS Ready" one.
 */
#include "gateway.h"

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include <wolfssl/options.h>

#ifdef HAVE_FIPS
/* As <wolfssl/wolfcrypt/fips_test.h> declares them. */
int wolfCrypt_GetStatus_fips(void);
int wolfCrypt_GetMode_fips(void);
int wc_RunAllCast_fips(void);
int wolfCrypt_SetCb_fips(void (*report)(int ok, int error, const char *hash));

#define MODE_NORMAL 1                   /* of wolfCrypt_GetMode_fips: 0 begins, 2 degraded, 3 failed */

/* A module that fails later answers every call with an error. The process ends at once: its next start says the reason, and a core
 * would hold keys. */
static void on_report(int ok, int error, const char *hash)
{
    static const char text[] = "wolfSSL's FIPS module failed: the server stops\n";

    (void)error;
    (void)hash;
    if (!ok && write(STDERR_FILENO, text, sizeof(text) - 1))    /* -1 too: then it ends without words */
        _exit(EXIT_FAILURE);
}
#endif

const char *gw_fips_problem(void)
{
#ifdef HAVE_FIPS
    if (wolfCrypt_GetStatus_fips())
        return "wolfSSL's FIPS module failed its test at power-up";
    if (wolfCrypt_GetMode_fips() != MODE_NORMAL)
        return "wolfSSL's FIPS module is not in its normal mode";
    if (wc_RunAllCast_fips())
        return "wolfSSL's FIPS module failed a self-test of an algorithm";
    if (wolfCrypt_SetCb_fips(on_report))
        return "wolfSSL's FIPS module does not report later failures";
    return NULL;
#else
    return "this wolfSSL was built without FIPS: build the server with a FIPS bundle of wolfSSL (OCSENTRY_WOLFSSL)";
#endif
}
