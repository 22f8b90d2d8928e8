"""Stands in for the cloud's language models, the fallback for Ollama and the NPU worker.

The documented HTTP API as far as a check needs it: `GET /v1/models` and
`POST /v1/embeddings`. Settings: LISTEN, PORT, CLOUD_MODELS (separated by commas).
"""

from __future__ import annotations

import hashlib
import json

from .serve import Handler, Server, as_json, ready, setting

MODELS = setting("CLOUD_MODELS", "gpt-4o-mini,text-embedding-3-small").split(",")
DIMENSIONS = 8


def answer(path: str) -> tuple[int, str, bytes] | None:
    if path != "/v1/models":
        return None
    listed = [{"id": each, "object": "model", "owned_by": "stand-in"} for each in MODELS]
    return as_json({"object": "list", "data": listed})


def embedding(index: int, text: str) -> dict[str, object]:
    """The same text has the same vector, and another text another."""
    digest = hashlib.sha256(text.encode()).digest()[:DIMENSIONS]
    vector = [round(each / 127.5 - 1, 6) for each in digest]
    return {"object": "embedding", "index": index, "embedding": vector}


class CloudHandler(Handler):
    """Adds the one call that a worker would make."""

    def do_POST(self) -> None:  # noqa: N802 (the parent dispatches by this name)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/v1/embeddings":
            return self.reply(as_json({"error": {"message": "not found"}}, 404))
        try:
            wanted = json.loads(body)
            model, given = wanted["model"], wanted["input"]
        except (ValueError, KeyError, TypeError):
            return self.reply(as_json({"error": {"message": "model and input are required"}}, 400))
        if model not in MODELS:
            return self.reply(as_json({"error": {"message": f"no model {model!r}"}}, 404))
        texts = [given] if isinstance(given, str) else given
        data = [embedding(number, str(text)) for number, text in enumerate(texts)]
        return self.reply(as_json({"object": "list", "data": data, "model": model}))


if __name__ == "__main__":
    server = Server("8090", answer, CloudHandler)
    ready()
    server.serve_forever()
