"""Whether a JSON document has a shape: the few words of JSON Schema that a health check needs.

What lives here: `type`, `required`, `properties`, `enum` and `items`. What must not: the rest of
JSON Schema; an agent carries this, and a library for it would be the largest thing it loads.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks.contract import Json

WORDS = ("type", "required", "properties", "enum", "items")
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def misuse(schema: Json, at: str) -> tuple[str, ...]:
    """Why this is no schema of ours: a word that is passed over would promise too much."""
    if not isinstance(schema, Mapping):
        return (f"{at} must be a mapping, not {schema!r}",)
    faults = [
        f"{at}: {word!r} is not known here (known: {', '.join(WORDS)})"
        for word in schema
        if word not in WORDS
    ]
    faults += [
        f"{at}: {each!r} is no type (known: {', '.join(_TYPES)})"
        for each in _listed(schema.get("type", []))
        if each not in _TYPES
    ]
    faults += [
        f"{at}: {word!r} must be a list"
        for word in ("required", "enum")
        if not isinstance(schema.get(word, []), list | tuple)
    ]
    properties = schema.get("properties", {})
    if isinstance(properties, Mapping):
        for name, inner in properties.items():
            faults += misuse(inner, f"{at}.{name}")
    else:
        faults.append(f"{at}: 'properties' must be a mapping")
    if "items" in schema:
        faults += misuse(schema["items"], f"{at}[]")
    return tuple(faults)


def misfits(schema: Mapping[str, Json], value: Json, at: str = "the body") -> tuple[str, ...]:
    """Each way in which the value does not have the shape."""
    allowed = _listed(schema.get("type", []))
    if allowed and not any(_is(value, each) for each in allowed):
        return (f"{at} is no {' or '.join(allowed)}",)
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at} is {value!r}, which is none of {', '.join(map(repr, schema['enum']))}")
    if isinstance(value, dict):
        found += [f"{at} has no {name}" for name in schema.get("required", ()) if name not in value]
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                found += misfits(inner, value[name], name if at == "the body" else f"{at}.{name}")
    if isinstance(value, list) and "items" in schema:
        for number, each in enumerate(value):
            found += misfits(schema["items"], each, f"{at}[{number}]")
    return tuple(found)


def _is(value: Json, kind: str) -> bool:
    # Python counts true and false as numbers; JSON does not.
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _listed(value: Json) -> tuple[Json, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
