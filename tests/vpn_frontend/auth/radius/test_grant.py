# SPDX-License-Identifier: GPL-3.0-or-later
from contextlib import suppress
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.auth.radius import grant
from vpn_frontend.radius.attributes import DOWNSTREAM_LIMIT, MS_DNS, UPSTREAM_LIMIT, Attribute
from vpn_frontend.radius.packets import Answer, Code


def answer(**values):
    """An Access-Accept with attributes by name, each one value or a list."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    return Answer(Code.ACCESS_ACCEPT, {Attribute[name]: tuple(found) for name, found in lists.items()})


def read_overrides(found):
    return grant.read_overrides(found, bandwidth_unit=1000)


def number(value):
    return value.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("classes", "groups"),
    [
        ([], ()),
        ([b"OU=staff;ops"], ("staff", "ops")),
        ([b"OU=staff,ops"], ("staff", "ops")),
        ([b"staff", b"ops", b"staff"], ("staff", "ops")),
        ([b"OU= staff ; "], ("staff",)),
        ([b"\xff\xfe\x00opaque"], ()),
        ([b"OU=a\0b;\x1b[31m;ops"], ("ops",)),
        ([b"OU=" + b"x" * 64, b"OU=" + b"x" * 65], ("x" * 64,)),
        (["é".encode()], ("é",)),
    ],
)
def test_groups(classes, groups):
    assert grant.read_groups(answer(CLASS=classes)) == groups


def test_groups_are_bounded():
    classes = [
        b"OU=" + b";".join(b"g%d" % number for number in range(first, first + 40)) for first in range(0, 400, 40)
    ]
    assert len(grant.read_groups(answer(CLASS=classes))) == grant.MAX_GROUPS


def test_service_type_must_be_framed_if_there_is_one():
    assert grant.check_service(answer())
    assert grant.check_service(answer(SERVICE_TYPE=number(2)))
    assert not grant.check_service(answer(SERVICE_TYPE=number(6)))


def test_everything_that_can_be_pushed():
    overrides = read_overrides(
        Answer(
            Code.ACCESS_ACCEPT,
            {
                Attribute.FRAMED_IP_ADDRESS: (bytes((192, 0, 2, 9)),),
                Attribute.FRAMED_IPV6_ADDRESS: (ip_address("2001:db8::9").packed,),
                Attribute.FRAMED_ROUTE: (b"10.1.0.0/16 10.0.0.1 1", b"10.2.0.0/255.255.0.0", b"10.3.3.3"),
                Attribute.FRAMED_IPV6_ROUTE: (b"2001:db8:1::/48 :: 1",),
                Attribute.FRAMED_IPV6_PREFIX: (b"\0\x40" + ip_address("2001:db8:2::").packed[:8],),
                Attribute.SESSION_TIMEOUT: (number(3600),),
                Attribute.IDLE_TIMEOUT: (number(600),),
                Attribute.DNS_SERVER_IPV6_ADDRESS: (ip_address("2001:db8::53").packed,),
                MS_DNS[0]: (bytes((10, 0, 0, 53)),),
                MS_DNS[1]: (bytes((10, 0, 0, 54)),),
                UPSTREAM_LIMIT: (number(500),),
                DOWNSTREAM_LIMIT: (number(0),),
            },
        )
    )
    networks = ("10.1.0.0/16", "10.2.0.0/16", "10.3.3.3/32", "2001:db8:1::/48", "2001:db8:2::/64")
    assert overrides == {
        "static_ipv4": ip_address("192.0.2.9"),
        "static_ipv6": ip_address("2001:db8::9"),
        "network": {
            "routes": tuple(map(ip_network, networks)),
            "dns": tuple(map(ip_address, ("10.0.0.53", "10.0.0.54", "2001:db8::53"))),
        },
        "session": {"session_timeout": 3600, "idle_timeout": 600},
        "bandwidth": {"from_client": 500_000},
    }


@pytest.mark.parametrize("last", [254, 255])
def test_the_address_may_be_left_to_the_pool(last):
    assert read_overrides(answer(FRAMED_IP_ADDRESS=bytes((255, 255, 255, last)))) == {}


def test_a_time_of_zero_falls_through_and_a_huge_one_is_bounded():
    assert read_overrides(answer(SESSION_TIMEOUT=number(0))) == {}
    assert read_overrides(answer(SESSION_TIMEOUT=b"\xff" * 4)) == {"session": {"session_timeout": 31_536_000}}
    assert grant.read_interim(answer()) == 0
    assert grant.read_interim(answer(ACCT_INTERIM_INTERVAL=number(5))) == 5
    assert grant.read_interim(answer(ACCT_INTERIM_INTERVAL=number(900))) == 900


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FRAMED_IP_ADDRESS", b""),
        ("FRAMED_IP_ADDRESS", b"10.0.0.1"),
        ("FRAMED_IPV6_ADDRESS", bytes(15)),
        ("FRAMED_IPV6_PREFIX", b"\0"),
        ("FRAMED_IPV6_PREFIX", b"\0\x81" + bytes(16)),
        ("FRAMED_IPV6_PREFIX", b"\0\x40" + bytes(7)),
        ("FRAMED_ROUTE", b""),
        ("FRAMED_ROUTE", b"10.0.0.0/33"),
        ("FRAMED_ROUTE", b"\xff\xfe"),
        ("FRAMED_ROUTE", b"everything"),
        ("FRAMED_ROUTE", [b"10.%d.%d.0/24" % divmod(n, 256) for n in range(257)]),
        ("SESSION_TIMEOUT", b"60"),
        ("IDLE_TIMEOUT", bytes(8)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} long",
)
def test_an_attribute_that_makes_no_sense_is_an_error(name, value):
    with pytest.raises(grant.GrantError):
        read_overrides(answer(**{name: value}))


keys = st.sampled_from([*Attribute, *MS_DNS, UPSTREAM_LIMIT, DOWNSTREAM_LIMIT])


@given(st.dictionaries(keys, st.lists(st.binary(max_size=253), max_size=4).map(tuple)))
def test_any_values_are_settings_or_an_error(values):
    found = Answer(Code.ACCESS_ACCEPT, values)
    assert all(group.isprintable() for group in grant.read_groups(found))
    for read in (read_overrides, grant.read_interim, grant.check_service):
        with suppress(grant.GrantError):
            read(found)
