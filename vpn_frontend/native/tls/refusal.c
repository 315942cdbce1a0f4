/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/refusal.h"

#include <errno.h>
#include <stdio.h>
#include <wolfssl/options.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

int gw_tls_refuse(char *error, size_t error_size, const char *what, int code)
{
    char text[WOLFSSL_MAX_ERROR_SZ] = "";

    if (code != WOLFSSL_SUCCESS && code != 0)
        wolfSSL_ERR_error_string_n((unsigned long)(code < 0 ? -(long)code : code), text, sizeof(text));
    snprintf(error, error_size, "%s%s%s", what, *text ? ": " : "", text);
    return -EINVAL;
}
