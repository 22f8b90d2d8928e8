"""Documents: nothing that a machine or a person said is markup, and columns line up."""

from __future__ import annotations

import re

from orchestrator.document import (
    Block,
    Exhibit,
    Grid,
    Heading,
    Items,
    Paragraph,
    Slot,
    html,
    markdown,
    page,
)

EVIL = "<script>alert(1)</script> | *x* `y` [z](http://evil) & \\"
EVERYWHERE: list[Block] = [
    Heading(1, EVIL),
    Paragraph(EVIL),
    Paragraph(EVIL, strong=True),
    Items([EVIL]),
    Grid((EVIL, EVIL), [(EVIL, EVIL)]),
    Exhibit(EVIL, EVIL),
]


def test_html_takes_everything_as_text() -> None:
    made = page(EVIL, html(EVERYWHERE, {}))
    assert "<script" not in made
    assert made.count("&lt;script&gt;") == 11


def test_markdown_takes_everything_but_evidence_as_text() -> None:
    for part in EVERYWHERE[:-1]:
        made = markdown([part]).replace("| ", "").replace(" |", "").replace("**", "")
        assert "script" in made
        assert not re.search(r"(?<!\\)[`*<\[|]", made), made


def test_evidence_cannot_leave_its_fence() -> None:
    made = markdown([Exhibit("log", "a\n````\n# not a heading\n")])
    assert made == "log\n\n`````\na\n````\n# not a heading\n`````\n"


def test_columns_line_up_and_line_breaks_do_not_break_rows() -> None:
    made = markdown([Grid(("A", "B"), [("long one", "x"), ("s", "two\nlines | here")])])
    assert made.splitlines() == [
        "| A        | B   |",
        "| -------- | --- |",
        "| long one | x   |",
        "| s        | two lines \\| here |",
    ]


def test_long_evidence_is_folded_on_a_page() -> None:
    assert "<details open>" in html([Exhibit("log", "a\nb")], {})
    assert "<details>" in html([Exhibit("log", "\n".join("x" * 40))], {})


def test_a_slot_is_filled_on_a_page_only() -> None:
    parts: list[Block] = [Paragraph("before"), Slot("here"), Paragraph("after")]
    assert html(parts, {"here": "<form>"}) == "<p>before</p>\n<form>\n<p>after</p>"
    assert html(parts, {}) == "<p>before</p>\n<p>after</p>"
    assert markdown(parts) == "before\n\nafter\n"
