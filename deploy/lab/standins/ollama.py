"""Stands in for Ollama: the documented HTTP API as far as a recovery needs it.

Models are files under MODELS, so a pulled one survives a restart. Settings: LISTEN, PORT,
MODELS, PRESENT (models of a new disk), PULLABLE (what the library has), PULL_SECONDS.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .serve import Handler, Server, as_json, ready, say, setting, timestamp

MODELS = Path(setting("MODELS", "/var/lib/ollama"))
PULLABLE = setting("PULLABLE", "llama3.2,nomic-embed-text,gemma3:270m,mistral:7b-instruct")
SIZE = 4_000_000
CHUNKS = 10


def full_name(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def path_of(name: str) -> Path:
    """A name never becomes a path by itself: it comes from a request."""
    return MODELS / hashlib.sha256(full_name(name).encode()).hexdigest()[:32]


def store(name: str) -> None:
    full = full_name(name)
    model = {"name": full, "model": full, "modified_at": timestamp(), "size": SIZE}
    model["digest"] = hashlib.sha256(full.encode()).hexdigest()
    aside = path_of(name).with_suffix(".part")
    aside.write_text(json.dumps(model))
    aside.replace(path_of(name))


def stored() -> list[dict[str, Any]]:
    files = (each for each in MODELS.iterdir() if not each.suffix)
    return sorted((json.loads(each.read_text()) for each in files), key=lambda each: each["name"])


def pull(name: str) -> Iterator[dict[str, Any]]:
    """The lines that Ollama streams while it pulls; the last one says success or error."""
    yield {"status": "pulling manifest"}
    if full_name(name) not in {full_name(each) for each in PULLABLE.split(",")}:
        yield {"error": "pull model manifest: file does not exist"}
        return
    digest = "sha256:" + hashlib.sha256(full_name(name).encode()).hexdigest()
    about = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": SIZE}
    for chunk in range(CHUNKS + 1):
        yield {**about, "completed": SIZE * chunk // CHUNKS}
        time.sleep(float(setting("PULL_SECONDS", "1")) / CHUNKS)
    yield {"status": "verifying sha256 digest"}
    yield {"status": "writing manifest"}
    store(name)
    yield {"status": "success"}


def answer(path: str) -> tuple[int, str, bytes] | None:
    if path == "/":
        return 200, "text/plain", b"Ollama is running"
    if path == "/api/tags":
        return as_json({"models": stored()})
    if path == "/api/version":
        return as_json({"version": "0.5.4"})
    return None


class OllamaHandler(Handler):
    """Adds the two calls that answer with a stream of JSON lines."""

    def do_POST(self) -> None:  # noqa: N802 (the parent dispatches by this name)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            wanted = json.loads(body or b"{}")
            name = str(wanted.get("model") or wanted.get("name") or "")
        except (ValueError, AttributeError):
            return self.refuse(400, "invalid JSON")
        if not name:
            return self.refuse(400, "model is required")
        if self.path == "/api/pull":
            return self.stream(pull(name), whole=wanted.get("stream") is False)
        if self.path == "/api/generate":
            if not path_of(name).exists():
                return self.refuse(404, f"model '{name}' not found")
            return self.stream(generate(name), whole=wanted.get("stream") is False)
        return self.refuse(404, "not found")

    def refuse(self, status: int, error: str) -> None:
        self.reply(as_json({"error": error}, status))

    def stream(self, lines: Iterator[dict[str, Any]], *, whole: bool) -> None:
        if whole:
            lines = iter([list(lines)[-1]])
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            content = json.dumps(line).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.write(b"0\r\n\r\n")


def generate(name: str) -> Iterator[dict[str, Any]]:
    about = {"model": name, "created_at": timestamp()}
    for word in ("It", " works", "."):
        yield {**about, "response": word, "done": False}
    yield {**about, "response": "", "done": True, "done_reason": "stop"}


def main() -> None:
    MODELS.mkdir(parents=True, exist_ok=True)
    if not (MODELS / "disk.used").exists():
        for name in setting("PRESENT", "llama3.2").split(","):
            if name:
                store(name)
        (MODELS / "disk.used").touch()
    server = Server("8080", answer, OllamaHandler)
    say(f"models: {', '.join(each['name'] for each in stored()) or 'none'}")
    ready()
    server.serve_forever()


if __name__ == "__main__":
    main()
