# SPDX-License-Identifier: GPL-3.0-or-later
"""The log's lines for syslog (RFC 3164), as ``syslog(3)`` sends them."""

from __future__ import annotations

import logging
import syslog
from typing import Literal

Facility = Literal[
    "daemon", "user", "auth", "authpriv", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
]
SyslogFormat = Literal["json", "ocserv"]
NAMES: dict[SyslogFormat, str] = {"json": "ocsentry", "ocserv": "ocserv"}  # filters look for the program, too
PRIORITIES = {
    "debug": syslog.LOG_DEBUG,
    "info": syslog.LOG_INFO,
    "warning": syslog.LOG_WARNING,
    "error": syslog.LOG_ERR,
    "critical": syslog.LOG_CRIT,
}


class SyslogHandler(logging.Handler):
    """Requires its own thread: a stuck syslog daemon blocks it. Without a daemon lines are lost, as by any program.

    Make it before privileges are given up: the socket of syslog is opened then.
    """

    def __init__(self, facility: Facility, style: SyslogFormat) -> None:
        super().__init__()
        self.style = style
        number = getattr(syslog, f"LOG_{facility.upper()}")
        syslog.openlog(NAMES[style], syslog.LOG_PID | syslog.LOG_NDELAY, number)

    def emit(self, record: logging.LogRecord) -> None:
        level = getattr(record, "level", None) or record.levelname.lower()  # an event has its own
        for line in self.format(record).splitlines():
            syslog.syslog(PRIORITIES.get(level, syslog.LOG_INFO), line.replace("\0", "?"))

    def close(self) -> None:
        syslog.closelog()
        super().close()
