"""/docs: the OpenAPI page, drawn here so that it also works on a network without an Internet.

What lives here: one page from the app's own OpenAPI document. What must not: scripts; FastAPI's
own page loads them from a foreign server, which may be away on the day they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff }
h2 { font-size: 1.05rem; margin: 2rem 0 .3rem } code, pre { font-family: ui-monospace, monospace }
h2 b { display: inline-block; min-width: 3.5rem } ul { margin: .3rem 0 } pre { overflow-x: auto }
@media (prefers-color-scheme: dark) { body { color: #dfe3e8; background: #15181c }
  a { color: #8ab8ff } }
"""


def page(openapi: Mapping[str, Any]) -> str:
    info = openapi["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info['description'])} <a href=/openapi.json>openapi.json</a></p>",
    ]
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            parts += _operation(path, method, operation)
    parts.append("<h1>Shapes</h1>")
    for name, schema in sorted(openapi["components"]["schemas"].items()):
        parts += _schema(name, schema)
    return "\n".join(parts)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2>"
    yield f"<p>{escape(operation['summary'])}</p><ul>"
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        yield f"<li>body: {_kind(body['schema'])}</li>"
    for each in operation.get("parameters", []):
        if each["in"] != "path":
            yield f"<li>{each['in']} <code>{escape(each['name'])}</code></li>"
    for status, answer in operation["responses"].items():
        content: Mapping[str, Any] = next(iter(answer.get("content", {}).values()), {})
        yield f"<li>{status}: {_kind(content.get('schema', {}))}</li>"
    yield "</ul>"


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2 id='{escape(name)}'>{escape(name)}</h2>"
    yield f"<p>{escape(schema.get('description', ''))}</p><ul>"
    for key, kind in schema.get("properties", {}).items():
        yield f"<li><code>{escape(key)}</code> {_kind(kind)}</li>"
    yield "</ul>"


def _kind(schema: Mapping[str, Any]) -> str:
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if options := schema.get("anyOf"):
        return " or ".join(_kind(each) for each in options)
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(str(schema.get("type", "")))
