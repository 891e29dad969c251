"""What the model stand-in answers to a JSON schema: an instance of it that looks like an answer. No I/O.

The same schema and topic make the same instance. Lists have two items where they may, texts name the property that they
are of, their place, and the topic.
"""

from typing import Any

ITEMS = 2
NUMBER = 30


def instance_of(schema: Any, root: dict[str, Any], topic: str = "stand-in", name: str = "") -> Any:
    """An instance of a schema, as far as OpenAI's structured outputs allow schemas; `name` is the property that it is
    of, with its place in lists."""
    if not isinstance(schema, dict):
        return None
    if "$ref" in schema:
        return instance_of(_resolve(schema["$ref"], root), root, topic, name)
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return instance_of(schema[union][0], root, topic, name)
    return _of_type(schema, root, topic, name)


def _of_type(schema: dict[str, Any], root: dict[str, Any], topic: str, name: str) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "null")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            return _object(schema, root, topic, name)
        case "array":
            count = max(schema.get("minItems", 0), min(ITEMS, schema.get("maxItems", ITEMS)))
            return [instance_of(schema.get("items"), root, topic, f"{name} {place + 1}") for place in range(count)]
        case "string":
            text = f"{name}: {topic}" if name else topic
            return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
        case "integer" | "number":
            return _number_within(schema)
        case "boolean":
            return False
        case _:
            return None


def _object(schema: dict[str, Any], root: dict[str, Any], topic: str, name: str) -> dict[str, Any]:
    properties = schema.get("properties", {})
    # The place of an object in a list is that of its texts.
    place = name.partition(" ")[2]
    return {
        inner: instance_of(properties.get(inner), root, topic, f"{inner} {place}".strip())
        for inner in schema.get("required", properties)
    }


def _number_within(schema: dict[str, Any]) -> float:
    lowest = schema.get("minimum", schema.get("exclusiveMinimum", NUMBER - 1) + 1)
    highest = schema.get("maximum", schema.get("exclusiveMaximum", max(lowest, NUMBER) + 1) - 1)
    number: float = min(max(lowest, NUMBER), highest)
    return number


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        found = found[name] if name else found
    return found
