# SPDX-License-Identifier: GPL-3.0-or-later
"""``import ocserv`` on whole folders: what it writes means what ocserv's files mean."""

import tomllib
from ipaddress import IPv4Address, IPv4Network

import pytest

from ocsentry.api_client.offline import OfflineClient
from ocsentry.configuration.model import load_config
from ocsentry.configuration.ocserv.toml_text import render_toml
from ocsentry.setup.ocserv_import import ImportFileError, plan_import, write_import

HASH = "$5$GgbyBJ3csCQt9IRv$/SFa62.iLlb4HBFeFw69oCIvpdVkGH1SeCokej.J486"
CONF = """\
auth = "plain[passwd=passwd]"
tcp-port = 443
device = vpns
server-cert = cert.pem
server-key = key.pem
ipv4-network = 10.7.0.0/24
dpd = 60s
select-group = staff[The staff]
config-per-group = groups
config-per-user = users
use-utmp = true
"""


@pytest.fixture
def conf(tmp_path):
    folder = tmp_path / "ocserv"
    (folder / "groups").mkdir(parents=True)
    (folder / "users").mkdir()
    (folder / "passwd").write_text(f"alice:staff:{HASH}\nDOMAIN\\bob:*:!{HASH}\nopen:*:\n")
    (folder / "groups" / "staff").write_text("route = 10.0.0.0/8\nmax-same-clients = 3\n")
    (folder / "users" / "alice").write_text("explicit-ipv4 = 10.7.0.9\nroute = 10.9.0.0/16\nnet-priority = 3\n")
    (folder / "users" / "carol").write_text("dpd = 1\n")
    (folder / "users" / "link").symlink_to("/etc/passwd")
    (folder / "ocserv.conf").write_text(CONF)
    return folder / "ocserv.conf"


def test_what_is_written_means_the_same(conf, tmp_path):
    folder = tmp_path / "new"
    plan = plan_import(conf, folder)
    assert not folder.exists()
    config = write_import(plan, folder, OfflineClient)
    again = load_config(folder / "ocsentry.toml").vpn
    assert again == config.vpn
    assert (again.session.dpd, again.network.ipv4_pool) == (60, IPv4Network("10.7.0.0/24"))
    assert (again.auth.ocpasswd_file, again.user_config_dir, again.group_config_dir) == (None, None, None)
    staff = again.groups["staff"]
    assert (staff["label"], staff["limits"], staff["network"]) == (
        "The staff",
        {"max_same_clients": 3},
        {"routes": (IPv4Network("10.0.0.0/8"),)},
    )
    alice = OfflineClient(config).get("users/alice")
    assert (alice["groups"], IPv4Address(alice["ipv4"])) == (["staff"], IPv4Address("10.7.0.9"))
    assert alice["settings"] == {"network": {"routes": ["10.0.0.0/8", "10.9.0.0/16"]}}
    assert OfflineClient(config).get("users/DOMAIN%5Cbob")["enabled"] is False


def test_every_line_is_in_the_report(conf, tmp_path):
    report = plan_import(conf, tmp_path / "new").report()
    assert f"mapped: {conf}:2: tcp-port: becomes vpn.listen" in report
    assert f"mapped differently: {conf}:7: dpd: ocserv reads '60s' as 60" in report
    assert any(line.startswith(f"ignored: {conf}:11: use-utmp: ") for line in report)
    assert {line.split(f"{conf}:")[1].split(":")[0] for line in report if f"{conf}:" in line} == {
        str(number) for number in range(1, 12)
    }
    left_out = report[-5:]
    assert any("user 'open' has no password" in line for line in left_out)
    assert any("net-priority has no effect" in line for line in left_out)
    assert any("link: is not a file of its own" in line for line in left_out)
    assert "user carol: has a file, and no password" in left_out


def test_nothing_is_overwritten(conf, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "ocsentry.toml").write_text("")
    with pytest.raises(ImportFileError, match="exists already"):
        write_import(plan_import(conf, tmp_path / "new"), tmp_path / "new", OfflineClient)


def test_default_files_stay_files(conf, tmp_path):
    conf.write_text(CONF + "default-user-config = users/carol\n")
    plan = plan_import(conf, tmp_path / "new")
    assert plan.document["vpn"]["user_config_dir"] == str(conf.parent / "users")
    assert any("stay files" in line for line in plan.report())


def test_values_survive_the_writer():
    document = {
        "a": 1,
        "b": {"c d": 'x"\\\n\x7fü', "list": [{"n": 1, "t": True}], "empty": {"deep": {"k": []}}},
        "e": {"f": "g"},
    }
    assert tomllib.loads(render_toml(document)) == document
