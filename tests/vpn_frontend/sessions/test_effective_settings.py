# SPDX-License-Identifier: GPL-3.0-or-later
"""User over group over server: which value wins, and where it says to come from."""

from dataclasses import fields, replace
from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.ports import RemoteLogin, UserRecord
from vpn_frontend.sessions.effective_settings import (
    SERVER_ONLY,
    EffectiveSettings,
    SettingsResolver,
    apply_overrides,
)
from vpn_frontend.settings import LimitSettings, NetworkSettings, SessionSettings, VpnSettings

BASE = EffectiveSettings(NetworkSettings(), SessionSettings(), LimitSettings(), "Welcome")
SECTIONS = {"network": NetworkSettings, "session": SessionSettings, "limits": LimitSettings}
PATHS = [f"{name}.{field.name}" for name, section in SECTIONS.items() for field in fields(section)]
PER_SESSION = [path for path in PATHS if path not in SERVER_ONLY] + ["banner", "static_ipv4", "static_ipv6"]
REPLACED = [path for path in PER_SESSION if path != "network.append_routes"]
LAYER = st.dictionaries(st.sampled_from(REPLACED), st.integers(), max_size=6)


def overrides_of(layer):
    """``{"network.mtu": 1, "banner": 2}`` as overrides."""
    overrides = {}
    for path, value in layer.items():
        section, _, key = path.rpartition(".")
        if section:
            overrides.setdefault(section, {})[key] = value
        else:
            overrides[key] = value
    return overrides


def value_of(settings, path):
    section, _, key = path.rpartition(".")
    return getattr(getattr(settings, section) if section else settings, key)


@given(st.lists(LAYER, max_size=4))
def test_the_first_layer_that_sets_a_key_wins_and_is_named(layers):
    settings = apply_overrides(BASE, [(f"layer {n}", overrides_of(layer)) for n, layer in enumerate(layers)])
    for path in PER_SESSION:
        setters = [n for n, layer in enumerate(layers) if path in layer]
        if setters:
            assert value_of(settings, path) == layers[setters[0]][path]
            assert settings.origin_of(path) == f"layer {setters[0]}"
        else:
            assert value_of(settings, path) == value_of(BASE, path)
            assert settings.origin_of(path) == "global"


@pytest.mark.parametrize(
    ("append", "user", "group", "expected"),
    [
        (True, ["10.3.0.0/16"], ["10.2.0.0/16", "10.1.0.0/16"], ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]),
        (True, None, ["10.2.0.0/16"], ["10.1.0.0/16", "10.2.0.0/16"]),
        (True, None, None, ["10.1.0.0/16"]),
        (True, [], ["10.2.0.0/16"], []),
        (True, ["10.3.0.0/16"], [], ["10.3.0.0/16"]),
        (False, ["10.3.0.0/16"], ["10.2.0.0/16"], ["10.3.0.0/16"]),
    ],
)
def test_routes_are_added_to_those_below_where_that_is_wanted(append, user, group, expected):
    def layer(routes):
        return {} if routes is None else {"network": {"routes": tuple(map(ip_network, routes))}}

    base = replace(BASE, network=NetworkSettings(routes=(ip_network("10.1.0.0/16"),), append_routes=append))
    layers = [("user", layer(user)), ("group", layer(group))]
    assert list(map(str, apply_overrides(base, layers).network.routes)) == expected
    assert apply_overrides(apply_overrides(base, layers[1:]), layers[:1]).network.routes == tuple(
        map(ip_network, expected)
    )
    assert apply_overrides(base, [("user", {"network": {"append_routes": True}})]).network.routes == base.network.routes


@given(LAYER, LAYER)
def test_two_layers_are_one_on_top_of_the_other(upper, lower):
    both = apply_overrides(BASE, [("upper", overrides_of(upper)), ("lower", overrides_of(lower))])
    assert both == apply_overrides(
        apply_overrides(BASE, [("lower", overrides_of(lower))]), [("upper", overrides_of(upper))]
    )


@given(st.lists(st.sampled_from(["staff", "guests", "none"]), unique=True), st.none() | st.integers(0, 9))
def test_a_user_s_own_limit_beats_its_first_group_s(groups, own):
    overrides = {"staff": {"limits": {"max_same_clients": 5}}, "guests": {"limits": {"max_same_clients": 1}}}
    settings = SettingsResolver(VpnSettings(), overrides).resolve(UserRecord("bob", "", max_same_clients=own), groups)
    first = next((group for group in groups if group in overrides), None)
    if own is not None:
        expected = own, "user bob"
    elif first is not None:
        expected = {"staff": 5, "guests": 1}[first], f"group {first}"
    else:
        expected = None, "global"
    assert (settings.own_client_limit, settings.origin_of("limits.max_same_clients")) == expected


def test_users_without_overrides_share_the_server_s_settings():
    resolver = SettingsResolver(VpnSettings())
    assert resolver.resolve(UserRecord("bob", ""), ("staff",)) is resolver.resolve(UserRecord("carol", ""), ())


def test_settings_of_the_authentication_server_stand_between_user_and_groups():
    resolver = SettingsResolver(VpnSettings(), {"staff": {"network": {"mtu": 1300}, "banner": "staff"}})
    remote = RemoteLogin("radius", "bob", overrides={"network": {"mtu": 1200}, "limits": {"max_same_clients": 9}})
    settings = resolver.resolve(UserRecord("bob", max_same_clients=1), ("staff",), remote)
    assert (settings.network.mtu, settings.origin_of("network.mtu")) == (1200, "radius")
    assert (settings.banner, settings.origin_of("banner")) == ("staff", "group staff")
    assert (settings.own_client_limit, settings.origin_of("limits.max_same_clients")) == (1, "user bob")


def test_static_addresses_are_the_user_s():
    address = IPv4Address("192.168.99.5")
    settings = SettingsResolver(VpnSettings()).resolve(UserRecord("bob", "", ipv4=address), ())
    assert (settings.static_ipv4, settings.origin_of("static_ipv4")) == (address, "user bob")
    assert (settings.static_ipv6, settings.origin_of("static_ipv6")) == (None, "global")


@pytest.mark.parametrize("path", sorted(SERVER_ONLY))
def test_what_the_server_has_once_cannot_differ_between_sessions(path):
    with pytest.raises(ValueError, match=path):
        apply_overrides(BASE, [("group staff", overrides_of({path: 1}))])


def test_a_key_that_does_not_exist_is_an_error():
    with pytest.raises(TypeError):
        apply_overrides(BASE, [("group staff", {"network": {"mut": 1300}})])
    with pytest.raises(TypeError):
        apply_overrides(BASE, [("group staff", {"baner": "x"})])


def test_files_are_over_groups_and_under_the_user_and_the_authentication_server():
    layers = (
        ("user alice (file)", {"network": {"mtu": 1100}}),
        ("group staff (file)", {"network": {"mtu": 1200}, "session": {"dpd": 7}, "banner": "file"}),
    )
    user = UserRecord("alice", overrides={"banner": "own"}, file_layers=layers)
    remote = RemoteLogin("radius", "alice", overrides={"session": {"dpd": 9}})
    resolver = SettingsResolver(VpnSettings(), {"staff": {"network": {"mtu": 1300}, "session": {"keepalive": 5}}})
    found = resolver.resolve(user, ["staff"], remote)
    assert (found.network.mtu, found.session.dpd, found.session.keepalive, found.banner) == (1100, 9, 5, "own")
    assert found.origin_of("network.mtu") == "user alice (file)"
