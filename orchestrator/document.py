"""A document of headings, text, tables and evidence, as Markdown or as a page of HTML.

What lives here: the blocks and their two renderings. What must not: what a document says.
Whatever comes from a machine or a person is text here: it can be no markup in either form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

LONG_LINES = 12  #: evidence with more lines is folded on a page


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Grid:
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What a machine said, letter by letter."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a page may put a form; nothing in Markdown."""

    name: str


Block = Heading | Paragraph | Items | Grid | Exhibit | Slot


def markdown(blocks: Iterable[Block]) -> str:
    return "\n\n".join(filter(None, (_markdown(each) for each in blocks))) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {_plain(text)}"
        case Paragraph(text, strong):
            return f"**{_plain(text)}**" if strong else _plain(text)
        case Items(texts):
            return "\n".join(f"- {_plain(each)}" for each in texts)
        case Grid(heads, rows):
            return _pipes([[_plain(cell) for cell in row] for row in [heads, *rows]])
        case Exhibit(title, text):
            longest = max((len(run) for run in re.findall("`+", text)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{_plain(title)}\n\n{fence}\n{text.rstrip()}\n{fence}"
        case Slot():
            return ""


def _plain(text: str) -> str:
    """One line in which nothing is markup."""
    return re.sub(r"([\\`*<\[|])", r"\\\1", " ".join(text.split()))


def _pipes(rows: Sequence[Sequence[str]]) -> str:
    """Columns that line up, but for the last one, which may be long. The heads come first."""
    columns = range(len(rows[0]))
    widths = [max(len(row[each]) for row in rows) if each + 1 in columns else 3 for each in columns]
    lines = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return "\n".join(
        "| "
        + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in lines
    )


def html(blocks: Iterable[Block], slots: Mapping[str, str]) -> str:
    """The body of a page. `slots` are pieces of HTML, by the name of their place."""
    return "\n".join(line for each in blocks for line in _html(each, slots))


def _html(block: Block, slots: Mapping[str, str]) -> Iterator[str]:
    match block:
        case Heading(level, text):
            yield f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text, strong):
            yield f"<p class=strong>{escape(text)}</p>" if strong else f"<p>{escape(text)}</p>"
        case Items(texts):
            yield "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in texts) + "</ul>"
        case Grid(heads, rows):
            yield "<div class=wide><table><thead><tr>"
            yield "".join(f"<th>{escape(each)}</th>" for each in heads) + "</tr></thead><tbody>"
            for row in rows:
                yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
            yield "</tbody></table></div>"
        case Exhibit(title, text):
            unfolded = "" if text.count("\n") >= LONG_LINES else " open"
            yield f"<details{unfolded}><summary>{escape(title)}</summary>"
            yield f"<pre>{escape(text)}</pre></details>"
        case Slot(name):
            if name in slots:
                yield slots[name]


STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #59636e;
  --line: #d5dae0; --shade: #f4f6f8; --link: #0b57c2; --warn: #8a4b00 }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe3e8; --paper: #15181c; --soft: #98a2ad;
  --line: #333a42; --shade: #1e2329; --link: #8ab8ff; --warn: #e6a65c } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--paper) }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere } h2 { font-size: 1.15rem;
  margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem } a { color: var(--link) }
p, ul { margin: .4rem 0 } .strong { font-weight: 600; color: var(--warn) }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem }
th, td { text-align: left; vertical-align: top; padding: .3rem 1.1rem .3rem 0 }
th { color: var(--soft); font-weight: 600 } tbody tr { border-top: 1px solid var(--line) }
th { white-space: nowrap } td:not(:last-child) { white-space: nowrap }
td:last-child { overflow-wrap: anywhere; min-width: 9rem }
details { margin: .5rem 0; border-left: 3px solid var(--line); padding-left: .8rem }
summary { cursor: pointer } pre { font: .82rem/1.45 ui-monospace, monospace; overflow-x: auto;
  background: var(--shade); padding: .6rem .8rem; margin: .4rem 0; max-height: 30rem }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; margin: .8rem 0 }
label { display: grid; gap: .15rem; color: var(--soft); font-size: .85rem; flex: 1 1 16rem }
textarea, input, button { font: inherit; color: inherit; background: var(--paper);
  border: 1px solid var(--line); border-radius: .3rem; padding: .35rem .6rem }
textarea { min-height: 4.2rem } label.short { flex: 0 1 10rem }
button { background: var(--shade); cursor: pointer } form.row { margin: .3rem 0 }
@media print { form { display: none } body { max-width: none } pre { max-height: none } }
"""


def page(title: str, body: str) -> str:
    """A whole page that loads nothing and runs nothing."""
    return "\n".join(
        (
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width'>",
            f"<title>{escape(title)}</title><style>{STYLE}</style>",
            body,
            "",
        )
    )
