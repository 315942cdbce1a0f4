# SPDX-License-Identifier: GPL-3.0-or-later
"""``/docs``: every operation, parameter and schema of the description is on the page, which loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from admin_api.app import describe_api
from admin_api.reference.model import Part, type_of
from admin_api.reference.page import render_page

pytestmark = pytest.mark.asyncio


class Page(HTMLParser):
    """Collects ids, links and what a page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.add(given["href"])
        if tag in {"script", "link", "img", "iframe", "object"} or "src" in given:
            self.loaded.append(tag)


async def test_everything_is_on_the_page_and_every_link_leads_somewhere():
    description = describe_api()
    text = render_page(description)
    page = Page(text)
    operations = [one for methods in description["paths"].values() for one in methods.values()]
    assert {one["operationId"] for one in operations} <= set(page.ids)
    assert {f"schema-{name}" for name in description["components"]["schemas"]} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= set(page.ids)
    for operation in operations:
        for parameter in operation.get("parameters", []):
            assert f"<code>{parameter['name']}</code>" in text
    assert page.loaded == []


async def test_it_is_served_without_a_token_and_its_policy_allows_its_own_style_only(server):
    answer = await server.anonymous.get("/docs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    style = re.search("<style>(.*?)</style>", answer.text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"type": "string", "format": "date-time"}, "date-time"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/BlockView"}}, "list of BlockView"),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({}, ""),
    ],
)
async def test_types_are_told_in_words(schema, words):
    assert "".join(part.text for part in type_of(schema)) == words


async def test_text_of_the_description_is_escaped():
    description = describe_api()
    description["components"]["schemas"]["Evil"] = {"description": "<script>alert(1)</script>", "properties": {}}
    assert "<script>" not in render_page(description)
    assert type_of({"$ref": "#/components/schemas/Evil"}) == (Part("Evil", "Evil"),)
