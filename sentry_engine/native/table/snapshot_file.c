/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "table/snapshot_file.h"

#include "memory/block.h"
#include "table/checksum.h"
#include "table/plan_check.h"
#include "table/policy_view.h"
#include "table/snapshot_check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int write_all(int descriptor, const uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

static uint64_t checksum_of(const struct se_snapshot *snapshot)
{
    return se_checksum(&snapshot->version, snapshot->size - offsetof(struct se_snapshot, version));
}

int se_policy_write(const struct se_policy *policy, int descriptor)
{
    struct se_snapshot header = *policy->snapshot;
    int rc;

    header.checksum = checksum_of(policy->snapshot);
    rc = write_all(descriptor, (const uint8_t *)&header, sizeof header);
    if (!rc)
        rc = write_all(descriptor, (const uint8_t *)(policy->snapshot + 1), (size_t)header.size - sizeof header);
    return rc;
}

static int read_all(int descriptor, uint8_t *bytes, size_t size, uint64_t offset, struct se_fault *fault)
{
    while (size) {
        ssize_t got = pread(descriptor, bytes, size, (off_t)offset);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (!got)
            return se_refuse(fault, "a file that is cut short", offset);
        bytes += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

static int check_header(const struct se_snapshot *snapshot, uint64_t size, struct se_fault *fault)
{
    if (memcmp(snapshot->magic, SE_SNAPSHOT_MAGIC, sizeof snapshot->magic) != 0)
        return se_refuse(fault, "a file that is no snapshot of a policy", 0);
    if (snapshot->abi != SE_SNAPSHOT_ABI || snapshot->header_size != sizeof *snapshot)
        return se_refuse(fault, "a snapshot in the layout of another version: make it again", snapshot->abi);
    if (snapshot->size != size)
        return se_refuse(fault, "a snapshot of another size than its file says", snapshot->size);
    if (snapshot->checksum != checksum_of(snapshot))
        return se_refuse(fault, "a damaged snapshot: its checksum does not match", 0);
    return 0;
}

int se_policy_read(int descriptor, uint64_t offset, uint64_t size, struct se_policy **out, struct se_fault *fault)
{
    struct se_snapshot *snapshot;
    int rc;

    *fault = (struct se_fault){0};
    if (size < sizeof *snapshot || size > SIZE_MAX / 2)
        return se_refuse(fault, "a file that is no snapshot of a policy", size);
    snapshot = se_block_map((size_t)size);
    if (!snapshot)
        return -ENOMEM;
    rc = read_all(descriptor, (uint8_t *)snapshot, (size_t)size, offset, fault);
    if (!rc)
        rc = check_header(snapshot, size, fault);
    if (!rc)
        rc = se_snapshot_check(snapshot, size, fault);
    if (rc) {
        se_block_unmap(snapshot, (size_t)size);
        return rc;
    }
    *out = se_policy_open(snapshot, (size_t)size);
    return *out ? 0 : -ENOMEM;
}
