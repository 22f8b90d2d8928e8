"""Pages for people with a browser: a review with its forms.

What lives here: the routes, who may see them, and the forms. What must not: scripts, and what a
review says (reviewpage.py).

A browser asks for a name and a password: the password is the API token, the name is of no
account. It then sends them with whatever it sends here, also when another site makes it do so;
hence every form carries a token of its own that only the caller's pages can hold.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Annotated
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from orchestrator import document, reviewpage
from orchestrator.core.lessons import About
from orchestrator.core.review import Review
from orchestrator.notebook import UnknownIncident
from orchestrator.web.access import Caller, Role, caller_with, form_token, token_of
from orchestrator.web.desk import AtDesk, Desk, why_not_here
from orchestrator.web.problems import Problem
from orchestrator.web.reviews import review_of

router = APIRouter(include_in_schema=False)

LONGEST_TEXT = 4000  #: as over the API
FIELDS = 10  #: more than any form here has

#: Nothing is loaded, nothing runs, nobody else may frame the page or be sent its forms.
_GUARDS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class PageProblem(Problem):
    """A problem that is answered with a page."""

    def answer(self) -> Response:
        body = f"<h1>{escape(self.kind.replace('-', ' ').capitalize())}</h1>"
        text = document.page("AutoBot DR", f"{body}<p>{escape(self.detail)}.</p>")
        return HTMLResponse(text, self.status, {**_GUARDS, **(self.headers or {})})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page, and what their forms there carry."""

    caller: Caller
    form_token: str

    @property
    def may_write(self) -> bool:
        return self.caller.role.includes(Role.OPERATOR)


async def _visitor(request: Request, desk: AtDesk) -> Visitor:
    token = token_of(request.headers.get("authorization"))
    caller = caller_with(desk.tokens, token)
    if caller is None:
        detail = "the password is an API token, as `autobot-dr init` writes one; any name will do"
        ask = {"WWW-Authenticate": 'Basic realm="AutoBot DR", charset="UTF-8"'}
        raise PageProblem(401, "unauthorized", detail, ask)
    return Visitor(caller, form_token(token, request.url.path))


async def _form(request: Request) -> Mapping[str, str]:
    try:
        fields = parse_qs((await request.body()).decode(), max_num_fields=FIELDS)
    except ValueError as error:
        raise PageProblem(400, "broken-form", "what was sent is no form of this page") from error
    return {name: values[0].strip() for name, values in fields.items()}


AsVisitor = Annotated[Visitor, Depends(_visitor)]
AsForm = Annotated[Mapping[str, str], Depends(_form)]


@router.get("/incidents/{incident}/review")
def review_page(incident: str, desk: AtDesk, visitor: AsVisitor) -> HTMLResponse:
    review = _review(desk, incident)
    slots = dict(_slots(review, visitor.form_token)) if visitor.may_write else {}
    return HTMLResponse(reviewpage.as_html(review, slots), headers=_GUARDS)


@router.post("/incidents/{incident}/review")
def write(incident: str, desk: AtDesk, visitor: AsVisitor, form: AsForm) -> RedirectResponse:
    if not visitor.may_write:
        detail = f"{visitor.caller.name} is {visitor.caller.role}; this needs role {Role.OPERATOR}"
        raise PageProblem(403, "forbidden", detail)
    if not hmac.compare_digest(form.get("token", "").encode(), visitor.form_token.encode()):
        detail = "the form was not made for you; open the review again and fill it in there"
        raise PageProblem(403, "foreign-form", detail)
    if elsewhere := why_not_here(desk):
        raise PageProblem(503, "standby", elsewhere)
    _review(desk, incident)
    _write(desk, incident, visitor.caller.name, form)
    # Seen afresh, so that a reload sends nothing a second time.
    return RedirectResponse(f"/incidents/{quote(incident, safe='')}/review", 303, _GUARDS)


def _review(desk: Desk, incident: str) -> Review:
    try:
        return review_of(desk, incident)
    except UnknownIncident as error:
        detail = f"there is no incident {incident!r}; `autobot-dr incident list` shows the newest"
        raise PageProblem(404, "unknown-incident", detail) from error


def _write(desk: Desk, incident: str, by: str, form: Mapping[str, str]) -> None:
    notebook, at = desk.coordinator.store.notebook, desk.coordinator.now()
    text, owner = form.get("text", ""), form.get("owner", "")
    match form.get("form"):
        case "root_cause" | "lesson" as about if 0 < len(text) <= LONGEST_TEXT:
            notebook.add_finding(incident, About(about), text, by=by, at=at)
        case "follow-up" if 0 < len(text) <= LONGEST_TEXT and len(owner) <= 100:
            notebook.add_follow_up(incident, text, owner=owner, by=by, at=at)
        case "done" if form.get("number", "").isdecimal() and len(form["number"]) < 10:
            notebook.finish(int(form["number"]), by=by, at=at)
        case _:
            detail = f"nothing was written: a text must be there, of at most {LONGEST_TEXT} signs"
            raise PageProblem(422, "not-understood", detail)


def _slots(review: Review, token: str) -> Iterator[tuple[str, str]]:
    """Forms by the name of their place in the review."""
    again = "Write it anew" if review.root_cause else "Root cause, as far as it is known"
    text = (
        f"<label>{again}<textarea name=text required maxlength={LONGEST_TEXT}></textarea></label>"
    )
    yield "root-cause", _made("root_cause", token, text, "Keep")
    text = (
        f"<label>A lesson<textarea name=text required maxlength={LONGEST_TEXT}></textarea></label>"
    )
    yield "lesson", _made("lesson", token, text, "Keep")
    fields = (
        f"<label>What is to be done<input name=text required maxlength={LONGEST_TEXT}></label>"
        "<label class=short>By whom<input name=owner maxlength=100></label>"
    )
    done = [
        _made(
            "done",
            token,
            f"<input type=hidden name=number value={each.number}>",
            f"Number {each.number} is done",
        )
        for each in review.follow_ups
        if each.open
    ]
    yield "follow-up", "".join((*done, _made("follow-up", token, fields, "Add")))


def _made(name: str, token: str, fields: str, button: str) -> str:
    return (
        f"<form method=post><input type=hidden name=form value={name}>"
        f"<input type=hidden name=token value={token}>{fields}"
        f"<button>{escape(button)}</button></form>"
    )
