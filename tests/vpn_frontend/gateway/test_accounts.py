# SPDX-License-Identifier: GPL-3.0-or-later
"""The mapped file of counters: what a later process reads, and what it refuses."""

from __future__ import annotations

import struct
import time
from dataclasses import astuple

import pytest

from vpn_frontend._gateway import ffi
from vpn_frontend.gateway.accounts import (
    ACCOUNT_SIZE,
    HEADER_SIZE,
    AccountsError,
    AccountsFile,
    account_key,
    parse_accounts,
    read_accounts,
)
from vpn_frontend.gateway.interface import Counters

SLOTS = 3
COUNTERS = Counters(1, 2, 3, 4, 5, 6, 7.5, 8, 9, 10, 11)


def written(path, *, ended=0):
    """A file with one session, as the gateway writes it."""
    file = AccountsFile(path, SLOTS)
    values = [*astuple(COUNTERS)]
    values[6] = round(values[6] * 1e9)
    struct.pack_into("=16sQ11Q", file.memory, ACCOUNT_SIZE, account_key("one"), ended, *values)
    file.commit()
    file.close()
    return path.read_bytes()


def test_the_layout_is_that_of_the_gateway():
    assert ffi.sizeof("struct gw_account") == ACCOUNT_SIZE
    assert ffi.offsetof("struct gw_account", "ended") == 16
    assert ffi.offsetof("struct gw_account", "counters") == 24
    assert ffi.sizeof("struct gw_counters") == 11 * 8
    assert ffi.offsetof("struct gw_counters", "last_data_ns") == 6 * 8


@pytest.mark.parametrize("ended", [0, 1])
def test_a_later_process_finds_the_counters(tmp_path, ended):
    written(tmp_path / "a", ended=ended)
    former = read_accounts(tmp_path / "a")
    assert (former.find("one").counters, former.find("one").ended) == (COUNTERS, bool(ended))
    assert former.find("two") is None
    assert former.seen_at <= time.monotonic()


def test_without_a_file_there_is_nothing(tmp_path):
    assert read_accounts(tmp_path / "a") is None


def test_a_file_cut_at_any_byte_is_refused(tmp_path):
    data = written(tmp_path / "a")
    now, boot = time.monotonic(), time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert parse_accounts(data, now, boot).find("one")
    for length in range(len(data)):
        with pytest.raises(AccountsError):
            parse_accounts(data[:length], now, boot)
    with pytest.raises(AccountsError):
        parse_accounts(data + b"\0", now, boot)


def test_a_changed_byte_of_the_header_is_refused_or_harmless(tmp_path):
    """Magic, version, sizes and the time of the boot all count; the padding does not."""
    data = written(tmp_path / "a")
    now, boot = time.monotonic(), time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for position in range(20):
        with pytest.raises(AccountsError):
            parse_accounts(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :], now, boot)
    for position in range(20, HEADER_SIZE):
        changed = data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]
        try:
            former = parse_accounts(changed, now, boot)
        except AccountsError:
            continue
        assert former.find("one").counters == COUNTERS


def test_another_boot_or_a_time_to_come_is_refused(tmp_path):
    data = written(tmp_path / "a")
    now, boot = time.monotonic(), time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for other in (boot - 60, boot + 60, float("nan")):
        with pytest.raises(AccountsError, match="machine started"):
            parse_accounts(data, now, other)
    with pytest.raises(AccountsError, match="machine started"):
        parse_accounts(data, now - 3600, boot)


def test_the_former_file_stays_until_the_new_one_is_complete(tmp_path):
    before = written(tmp_path / "a")
    unfinished = AccountsFile(tmp_path / "a", SLOTS)
    assert (tmp_path / "a").read_bytes() == before
    unfinished.close()
    again = AccountsFile(tmp_path / "a", SLOTS)  # the process before ended before it had committed
    again.commit()
    assert read_accounts(tmp_path / "a").find("one") is None
    again.remove()
    again.close()
    assert read_accounts(tmp_path / "a") is None


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(AccountsError, match=r"none/a\.new: No such file"):
        AccountsFile(tmp_path / "none" / "a", SLOTS)


def test_a_link_is_not_followed(tmp_path):
    written(tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(AccountsError):
        read_accounts(tmp_path / "b")
