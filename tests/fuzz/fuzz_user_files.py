# SPDX-License-Identifier: GPL-3.0-or-later
"""ocserv's files of users: passwords, one-time passwords, settings; and the log line of any name."""

import sys

import atheris

# Only the parsers: the models behind the settings bring half of the program with them.
with atheris.instrument_imports(
    include=["ocsentry.user_files", "ocsentry.observability.ocserv_format", "vpn_frontend.ocserv"]
):
    from ocsentry.observability.ocserv_format import render_lines
    from ocsentry.user_files.oath_file import parse_oath_file
    from ocsentry.user_files.password_file import parse_password_file
    from ocsentry.user_files.settings_file import SettingsSyntaxError, parse_entries, read_settings


def fuzz_one(data: bytes) -> None:
    for name, user in parse_password_file(data).users.items():
        assert name == user.name
        assert ":" not in name
        assert "\n" not in render_lines({"event": "login_refused", "user": name})
    for secret in parse_oath_file(data).secrets.values():
        assert secret.find_step("123456", 1e9) is None or secret.digits == 6
    half = len(data) // 2
    try:
        read = read_settings(parse_entries(data[:half]), parse_entries(data[half:]))
    except SettingsSyntaxError as error:
        assert str(error)
    else:
        assert all("\n" not in remark for remark in read.remarks)


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
