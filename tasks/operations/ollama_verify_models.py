"""ollama.verify_models: Ollama answers and lists every model that is wanted."""

from __future__ import annotations

from tasks.probes.ollama import ollama
from tasks.verifying import verify

verify_models = verify(
    "ollama.verify_models",
    "Wait until Ollama answers and has its models",
    ollama,
    lambda _wanted, answer: f"Ollama has {', '.join(answer['models']) or 'no models'}",
    seconds=60,
)
