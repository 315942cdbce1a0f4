/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The answers of a FIPS module, by stubs: the release archive of wolfSSL has none. Built with -DHAVE_FIPS.
 */
#include "gateway.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int status, mode = 1, self_tests, no_reports;
static void (*report)(int ok, int error, const char *hash);

int wolfCrypt_GetStatus_fips(void) { return status; }
int wolfCrypt_GetMode_fips(void) { return mode; }
int wc_RunAllCast_fips(void) { return self_tests; }

int wolfCrypt_SetCb_fips(void (*wanted)(int ok, int error, const char *hash))
{
    report = wanted;
    return no_reports;
}

/* The exit status of a process whose module reports `ok`, and what it wrote. */
static int report_in_child(int ok, char *text, size_t size)
{
    int ends[2], ended;
    ssize_t got;
    pid_t child;

    assert(!pipe(ends));
    child = fork();
    assert(child >= 0);
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        report(ok, -203, "00");
        _exit(7);
    }
    close(ends[1]);
    got = read(ends[0], text, size - 1);
    assert(got >= 0);
    text[got] = 0;
    close(ends[0]);
    assert(waitpid(child, &ended, 0) == child && WIFEXITED(ended));
    return WEXITSTATUS(ended);
}

int main(void)
{
    char text[128];

    assert(!gw_fips_problem());
    assert(report_in_child(1, text, sizeof(text)) == 7 && !*text);
    assert(report_in_child(0, text, sizeof(text)) == 1 && strstr(text, "FIPS module failed"));
    no_reports = -1;
    assert(strstr(gw_fips_problem(), "later failures"));
    no_reports = 0;
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
