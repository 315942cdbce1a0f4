# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON schemas of occtl's outputs, written from what ocserv 1.5 prints and what exporters and dashboards read."""

from __future__ import annotations

TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "integer", "minimum": 0}
NUMBER_TEXT = {"type": "string", "pattern": r"^[0-9]+$"}
LIST = {"type": "array", "items": TEXT}
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d \d\d:\d\d$"}
INTERVAL = {"type": "string", "pattern": r"^( *\d+days|[ \d]\d+h:\d\dm|[ \d]\dm:\d\ds| *\d+s|   \?   )$"}
SIZE = {"type": "string", "pattern": r"^(\d+ bytes|\d+\.\d (kB|MB|GB))$"}
RATE = {"type": "string", "pattern": r"^(\d+ bytes|\d+\.\d (kB|MB|GB))/s$"}
DURATION = {"type": "string", "pattern": r"^(<1ms|\d+ms|\d+s)$"}


def block(needed, optional=None):
    return {
        "type": "object",
        "properties": {**needed, **(optional or {})},
        "required": [*needed],
        "additionalProperties": False,
    }


def list_of(schema):
    return {"type": "array", "items": schema}


STATUS = block(
    {
        "Status": {"const": "online"},
        "Server PID": NUMBER,
        "Sec-mod PID": NUMBER,
        "Sec-mod instance count": NUMBER,
        "Up since": MOMENT,
        "_Up since": INTERVAL,
        "raw_up_since": NUMBER,
        "uptime": NUMBER,
        "Active sessions": NUMBER,
        "Total sessions": NUMBER,
        "Total authentication failures": NUMBER,
        "IPs in ban list": NUMBER,
        "Last stats reset": MOMENT,
        "_Last stats reset": INTERVAL,
        "raw_last_stats_reset": NUMBER,
        "Sessions handled": NUMBER,
        "Timed out sessions": NUMBER,
        "Timed out (idle) sessions": NUMBER,
        "Closed due to error sessions": NUMBER,
        "Authentication failures": NUMBER,
        "Average auth time": DURATION,
        "raw_avg_auth_time": NUMBER,
        "Max auth time": DURATION,
        "raw_max_auth_time": NUMBER,
        "Average session time": INTERVAL,
        "raw_avg_session_time": NUMBER,
        "Max session time": INTERVAL,
        "raw_max_session_time": NUMBER,
        "RX": SIZE,
        "raw_rx": NUMBER,
        "TX": SIZE,
        "raw_tx": NUMBER,
    },
    {"Min MTU": {"type": "integer", "maximum": 32767}, "Max MTU": {"type": "integer", "maximum": 32767}},
)
USER = block(
    {
        "ID": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
        "Username": TEXT,
        "Groupname": TEXT,
        "State": {"const": "connected"},
        "vhost": TEXT,
        "Device": TEXT,
        "MTU": NUMBER_TEXT,
        "Remote IP": TEXT,
        "Location": TEXT,
        "RX": NUMBER_TEXT,
        "TX": NUMBER_TEXT,
        "_RX": SIZE,
        "_TX": SIZE,
        "Average RX": RATE,
        "Average TX": RATE,
        "DPD": NUMBER_TEXT,
        "KeepAlive": NUMBER_TEXT,
        "Last connected at": MOMENT,
        "_Last connected at": INTERVAL,
        "Session started at": MOMENT,
        "_Session started at": INTERVAL,
        "Connected at": MOMENT,
        "_Connected at": INTERVAL,
        "raw_connected_at": NUMBER,
        "raw_session_started_at": NUMBER,
        "Full session": TEXT,
        "Session": {"type": "string", "minLength": 6, "maxLength": 6},
        "TLS ciphersuite": TEXT,
        "DNS": LIST,
        "NBNS": LIST,
        "Split-DNS-Domains": LIST,
        "Routes": {"anyOf": [{"const": "defaultroute"}, {**LIST, "minItems": 1}]},
        "No-routes": LIST,
        "iRoutes": LIST,
        "Restricted to routes": {"enum": ["True", "False"]},
        "Restricted to ports": {"type": "array", "items": {"type": "string", "pattern": r"^!?[a-z0-9]+\([0-9-]*\)$"}},
    },
    {
        "IPv4": TEXT,
        "P-t-P IPv4": TEXT,
        "IPv6": TEXT,
        "P-t-P IPv6": TEXT,
        "User-Agent": TEXT,
        "Hostname": TEXT,
        "DTLS cipher": TEXT,
        "Limit RX": RATE,
        "Limit TX": RATE,
    },
)
SESSION = block(
    {
        "Session": {"type": "string", "minLength": 6, "maxLength": 6},
        "Full session": TEXT,
        "Created": MOMENT,
        "Expires": MOMENT,
        "State": TEXT,
        "Username": TEXT,
        "Groupname": TEXT,
        "vhost": TEXT,
        "Location": TEXT,
        "session_is_open": {"enum": [0, 1]},
        "tls_auth_ok": {"enum": [0, 1]},
        "in_use": {"enum": [0, 1]},
    },
    {"User-Agent": TEXT, "Remote IP": TEXT},
)
IROUTE = block({"ID": NUMBER, "Username": TEXT, "vhost": TEXT, "Device": TEXT, "IP": TEXT, "iRoutes": LIST})
BAN = block({"IP": TEXT, "Since": TEXT, "_Since": INTERVAL, "Score": NUMBER})
POINTS = block({"IP": TEXT, "Score": NUMBER})

SCHEMAS = {
    "show status": STATUS,
    "show users": list_of(USER),
    "show user alice": list_of(USER),
    "show id 7": list_of(USER),
    "show sessions all": list_of(SESSION),
    "show sessions valid": list_of(SESSION),
    "show session": list_of(SESSION),
    "show session 0a1b": list_of(SESSION),
    "show iroutes": list_of(IROUTE),
    "show ip bans": list_of(BAN),
    "show ip bans points": list_of(BAN),
    "show ip ban points": list_of(POINTS),
}
# What criteo/ocserv-exporter reads, with the Go types that it decodes into.
EXPORTER_STATUS = {
    **dict.fromkeys(
        [
            *("Server PID", "Sec-mod PID", "raw_up_since", "uptime", "Active sessions", "Total sessions"),
            *("Total authentication failures", "IPs in ban list", "raw_last_stats_reset", "Sessions handled"),
            *("Timed out sessions", "Timed out (idle) sessions", "Closed due to error sessions"),
            *("Authentication failures", "raw_avg_auth_time", "raw_max_auth_time", "raw_avg_session_time"),
            *("raw_max_session_time", "raw_rx", "raw_tx", "Min MTU", "Max MTU"),
        ],
        int,
    ),
}
EXPORTER_USER = {
    "ID": int,
    "Username": str,
    "vhost": str,
    "Device": str,
    "MTU": str,
    "Remote IP": str,
    "IPv4": str,
    "RX": str,
    "TX": str,
    "Average RX": str,
    "Average TX": str,
    "raw_connected_at": int,
}

# What a dashboard (mmtaee/ocserv-dashboard) and other scripts read of the rows of each output.
DASHBOARD_ROWS = {
    "show users": {
        **dict.fromkeys(("ID", "raw_connected_at", "raw_session_started_at"), int),
        **dict.fromkeys(("Username", "Groupname", "Average RX", "Average TX", "_Last connected at", "IPv4"), str),
        **dict.fromkeys(("vhost", "Device", "Session started at", "Remote IP", "RX", "TX", "User-Agent"), str),
    },
    "show ip bans points": {"IP": str, "Since": str, "_Since": str, "Score": int},
    "show iroutes": {"ID": int, "Username": str, "vhost": str, "Device": str, "IP": str, "iRoutes": list},
    "show sessions all": {"Session": str, "State": str, "Username": str, "session_is_open": int, "in_use": int},
    "show sessions valid": {"Full session": str, "Created": str, "Expires": str, "tls_auth_ok": int},
}
# The fewest columns of a row that a text reader (mogilevich/ocserv_exporter) takes.
COLUMNS = {"show users": 9, "show sessions all": 7}
