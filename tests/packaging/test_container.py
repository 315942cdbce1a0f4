# SPDX-License-Identifier: GPL-3.0-or-later
"""The container's files agree with each other and with the program: user, capability, places, packages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "contrib" / "docker" / "Dockerfile").read_text()
PACKAGE = yaml.safe_load(re.sub(r"@\w+@", "x", (ROOT / "contrib" / "packaging" / "nfpm.yaml").read_text()))


@pytest.fixture(scope="module")
def service():
    (only,) = yaml.safe_load((ROOT / "contrib" / "docker" / "compose.yaml").read_text())["services"].values()
    return only


def test_the_container_has_one_capability_one_device_and_a_root_that_is_not_written(service):
    assert (service["cap_drop"], service["cap_add"]) == (["ALL"], ["NET_ADMIN"])
    assert (service["devices"], service["read_only"]) == (["/dev/net/tun"], True)
    assert "privileged" not in service
    # It would take the capability from the interpreter, which alone has it.
    assert "no-new-privileges" not in str(service.get("security_opt", ""))
    assert "setcap cap_net_admin+ep" in DOCKERFILE


def test_user_and_places_are_those_of_the_image(service):
    (user,) = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert service["user"] == user
    assert f"--uid {user.partition(':')[0]}" in DOCKERFILE
    (place,) = re.findall(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)
    assert service["volumes"] == [f"state:{place}"]
    assert f"OCSENTRY_CONFIG={place}/ocsentry.toml" in DOCKERFILE
    assert (ROOT / "contrib" / "docker" / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).read_text() == DOCKERFILE


def test_the_image_has_what_the_package_depends_on():
    depends = PACKAGE["overrides"]["deb"]["depends"] + PACKAGE["overrides"]["deb"]["recommends"]
    needed = {text.partition(" ")[0] for text in depends} - {"libc6"}
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert needed - set(re.findall(r"[a-z0-9.+-]+", final)) == set()


def test_what_is_copied_exists():
    copied = re.findall(r"/src/([\w./-]+\.lock)", DOCKERFILE)
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
