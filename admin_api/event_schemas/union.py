# SPDX-License-Identifier: GPL-3.0-or-later
"""All events as one schema: a union that ``kind`` discriminates."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema, create_model

from admin_api.event_schemas import fleet, policy, server, vpn
from admin_api.event_schemas.registry import EVENT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from admin_api.event_schemas.registry import EventFields

MODULES = (vpn, policy, server, fleet)  # importing them registers their models
EVENT_KINDS = tuple(sorted(EVENT_FIELDS))
SCHEMA = "Event"  # the name of the union among the components of OpenAPI
REFERENCES = "#/components/schemas/{model}"
OF_FIELDS = "{model}Fields"  # names of the fields' schemas; answers of the API have equal names without it


def check_kind(kind: str) -> str:
    if kind not in EVENT_FIELDS:
        raise ValueError(f"{kind[:64]!r} is no kind of event; /openapi.json lists them")
    return kind


EventKind = Annotated[
    str, AfterValidator(check_kind), WithJsonSchema({"type": "string", "enum": [*EVENT_KINDS], "examples": ["ready"]})
]


def _event_model(kind: str, fields: type[EventFields]) -> type[BaseModel]:
    """Returns the whole event of one kind."""
    name = "".join(part.capitalize() for part in kind.split("_")) + "Event"
    at = Field(description="When it happened.", examples=["2030-01-01T12:00:00Z"])
    return create_model(
        name,
        kind=(str, Field(description="The kind of the event.", json_schema_extra={"const": kind})),
        at=(datetime, at),
        fields=(fields, Field(description="What belongs to events of this kind.")),
    )


def event_components() -> dict[str, Any]:
    """Returns the schemas of all events, by their names among the components of OpenAPI; ``SCHEMA`` is the union."""
    components: dict[str, Any] = {}
    mapping = {}
    for kind in EVENT_KINDS:
        model = _event_model(kind, EVENT_FIELDS[kind])
        schema = model.model_json_schema(ref_template=REFERENCES.format(model=OF_FIELDS), mode="serialization")
        for defined, fields in schema.pop("$defs", {}).items():
            title = OF_FIELDS.format(model=defined)
            components[title] = {**fields, "title": title}  # generators of clients name their classes by the title
        components[model.__name__] = schema
        mapping[kind] = REFERENCES.format(model=model.__name__)
    components[SCHEMA] = {
        "title": SCHEMA,
        "oneOf": [{"$ref": reference} for reference in mapping.values()],
        "discriminator": {"propertyName": "kind", "mapping": mapping},
    }
    return components


def render_events() -> Iterator[str]:
    """Yields each kind with the names of its fields, as rows of a table."""
    for kind in EVENT_KINDS:
        yield f"| `{kind}` | {', '.join(f'`{name}`' for name in EVENT_FIELDS[kind].model_fields) or '-'} |"
