# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes speak to each other: mutual TLS 1.3, HTTP/1.1, one kind of request.

What is said here only hurries what a row of the database says too: a node that is not reached hears it with its next
beat. So an answer is waited for within the time that the row would take, and never longer.

    identity.py   certificates of the nodes, from the fleet's secret
    messages.py   what is said, and which of it is refused: another name, an old epoch, a repetition; no I/O
    directory.py  the nodes, their epochs and where they listen, as the database said last
    refusals.py   refusals told as events, few of each kind
    listener.py   takes messages of the others
    caller.py     sends messages to them
"""
