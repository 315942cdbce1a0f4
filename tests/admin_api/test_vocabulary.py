# SPDX-License-Identifier: GPL-3.0-or-later
"""Each property of the OpenAPI description says what it is and shows an example, and each parameter says what it is."""

from __future__ import annotations

from collections import Counter
from functools import cache

from jsonschema import Draft202012Validator

from admin_api.app import describe_api
from admin_api.vocabulary.completion import has_example
from admin_api.vocabulary.descriptions import DESCRIPTIONS, PARAMETERS
from admin_api.vocabulary.examples import EXAMPLES

api = cache(describe_api)


def properties(node, where=""):
    """Yields place, name and schema of each property of each object schema, wherever it stands."""
    if isinstance(node, list):
        for item in node:
            yield from properties(item, where)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "properties" and all(isinstance(one, dict) for one in value.values()):
                for name, entry in value.items():
                    yield where, name, entry
            if key not in {"examples", "example", "default"}:
                yield from properties(value, f"{where}/{key}")


def test_each_property_has_a_description_and_an_example():
    found = list(properties(api()))
    assert len(found) > 900
    assert [f"{where}: {name}" for where, name, entry in found if not entry.get("description", "").strip()] == []
    assert [f"{where}: {name}" for where, name, entry in found if not has_example(entry)] == []


def test_each_parameter_has_a_description():
    operations = [one for path in api()["paths"].values() for one in path.values()]
    parameters = [(one["operationId"], parameter) for one in operations for parameter in one.get("parameters", ())]
    assert [(name, one["name"]) for name, one in parameters if not one.get("description", "").strip()] == []


def test_no_word_is_left_over():
    words = set()
    for name, schema in api()["components"]["schemas"].items():
        for word in schema.get("properties", {}):
            words |= {word, f"{name}.{word}"}
    assert DESCRIPTIONS.keys() - words == set()
    assert EXAMPLES.keys() - words == set()
    operations = [one for path in api()["paths"].values() for one in path.values()]
    assert PARAMETERS.keys() - {one["name"] for op in operations for one in op.get("parameters", ())} == set()


def test_each_schema_has_a_name_and_a_title_of_its_own():
    """FastAPI sets modules before equal names; generators of clients name classes by the title, and drop the second."""
    schemas = api()["components"]["schemas"]
    assert [name for name in schemas if "__" in name] == []
    titles = Counter(schema["title"] for schema in schemas.values() if "title" in schema)
    assert [title for title, count in titles.items() if count > 1] == []


def test_fields_of_events_and_answers_with_equal_names_are_different_schemas():
    schemas = api()["components"]["schemas"]
    assert "document" in schemas["RuleChanged"]["properties"]
    assert "removed" in schemas["RuleChangedFields"]["properties"]
    assert schemas["RuleChangedEvent"]["properties"]["fields"]["$ref"].endswith("/RuleChangedFields")


def test_what_models_say_themselves_stays():
    block = api()["components"]["schemas"]["BlockCreate"]["properties"]
    assert block["reason"]["description"] == "Shown to the clients that are disconnected."
    assert block["ttl"]["examples"] == [3600]


def test_each_example_fits_its_schema():
    components = {"components": api()["components"]}
    found = [(f"{where}: {name}", entry) for where, name, entry in properties(api())]
    validators = [(place, entry, Draft202012Validator({**entry, **components})) for place, entry in found]
    wrong = [place for place, entry, one in validators if not all(map(one.is_valid, entry.get("examples", ())))]
    assert wrong == []
