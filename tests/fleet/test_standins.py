"""The stand-ins behave as the services they stand in for, each run as its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.lab import lab as labs
from tasks.host import HostFault, LocalHost
from tests.integration.rig import free_port

ADDRESS = "127.0.0.1"
Start = Callable[..., str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[subprocess.Popen[bytes]] = []

    def run(module: str, **settings: str) -> str:
        port = str(free_port())
        environment = {**os.environ, "LISTEN": ADDRESS, "PORT": port, **settings}
        environment["PYTHONPATH"] = str(labs.HERE)
        command = [sys.executable, "-m", f"standins.{module}"]
        children.append(subprocess.Popen(command, env=environment, cwd=tmp_path))
        url = f"http://{ADDRESS}:{port}"
        eventually(lambda: answers(url), True)
        return url

    yield run
    for child in children:
        child.terminate()
        child.wait(10)


def eventually(what: Callable[[], object], wanted: object, seconds: float = 15) -> None:
    ends = time.monotonic() + seconds
    while (seen := what()) != wanted:
        assert time.monotonic() < ends, f"still {seen!r} and not {wanted!r}"
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        return LocalHost().http("GET", f"{url}/", seconds=2).status > 0
    except HostFault:
        return False


def get(url: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(LocalHost().http("GET", url, seconds=5).body)
    return answer


def post(url: str, **body: object) -> tuple[int, list[dict[str, object]]]:
    reply = LocalHost().http("POST", url, seconds=10, body=json.dumps(body).encode())
    return reply.status, [json.loads(line) for line in reply.body.splitlines()]


def test_the_backend_answers_while_it_starts_and_says_what_it_lacks(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "backend.log"
    settings = {"REDIS": ADDRESS, "REDIS_PORT": str(free_port()), "LOG": str(log)}
    url = start("backend", REDIS_WAIT="1", PHASE_SECONDS="0.01", **settings)
    health = get(f"{url}/api/health")
    assert health["status"] == "degraded"
    eventually(lambda: get(f"{url}/api/health")["initialization"], {"status": "ready"})
    assert get(f"{url}/api/health")["status"] == "unhealthy"
    assert "ERROR redis is unreachable" in log.read_text()


def test_ollama_pulls_with_progress_and_keeps_what_it_pulled(start: Start, tmp_path: Path) -> None:
    settings = {"MODELS": str(tmp_path / "models"), "PULL_SECONDS": "0.1"}
    url = start("ollama", **settings)
    assert models(url) == ["llama3.2:latest"]
    status, lines = post(f"{url}/api/pull", model="nomic-embed-text")
    assert status == 200
    done = [int(str(each["completed"])) for each in lines if "completed" in each]
    assert done == sorted(done)
    assert len(done) > 2
    assert lines[-1] == {"status": "success"}
    assert models(start("ollama", **settings)) == ["llama3.2:latest", "nomic-embed-text:latest"]


def test_ollama_answers_200_to_a_pull_that_fails(start: Start, tmp_path: Path) -> None:
    url = start("ollama", MODELS=str(tmp_path / "models"))
    status, lines = post(f"{url}/api/pull", model="../../etc/passwd")
    assert status == 200
    assert "error" in lines[-1]
    assert models(url) == ["llama3.2:latest"]


def test_ollama_generates_only_with_a_model_that_is_there(start: Start, tmp_path: Path) -> None:
    url = start("ollama", MODELS=str(tmp_path / "models"))
    status, lines = post(f"{url}/api/generate", model="llama3.2", prompt="works?")
    assert (status, lines[-1]["done"]) == (200, True)
    assert post(f"{url}/api/generate", model="nomic-embed-text")[0] == 404


def test_the_cloud_lists_its_models_and_embeds_with_them(start: Start) -> None:
    url = start("cloud", CLOUD_MODELS="gpt,embedder")
    listed = get(f"{url}/v1/models")["data"]
    assert isinstance(listed, list)
    assert [each["id"] for each in listed] == ["gpt", "embedder"]
    status, (reply,) = post(f"{url}/v1/embeddings", model="embedder", input=["one", "two"])
    vectors = reply["data"]
    assert status == 200
    assert isinstance(vectors, list)
    assert [each["index"] for each in vectors] == [0, 1]
    assert vectors[0]["embedding"] != vectors[1]["embedding"]
    assert post(f"{url}/v1/embeddings", model="unknown", input="one")[0] == 404
    assert post(f"{url}/v1/embeddings", model="embedder")[0] == 400


def models(url: str) -> list[str]:
    tags = get(f"{url}/api/tags")["models"]
    assert isinstance(tags, list)
    return [each["name"] for each in tags]
