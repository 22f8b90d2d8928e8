"""The table of moves as a Mermaid diagram: `python -m tests.core.diagram` prints it."""

from __future__ import annotations

from orchestrator.core.incident import MOVES, State


def diagram() -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {State.OPEN}"]
    for state in State:
        following = [each.value for each in State if each in MOVES[state]]
        lines += [f"    {state} --> {name}" for name in following or ["[*]"]]
    return "\n".join(["```mermaid", *lines, "```"])


if __name__ == "__main__":
    print(diagram())
