"""The contract of the `Notebook` port, on the twin, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.core.lessons import About, Finding, FollowUp
from orchestrator.notebook import Notebook, UnknownIncident
from orchestrator.ports import Store
from tests.contracts.databases import new_incident

NASTY = "caf\u00e9 \U0001f525 'quoted' \\ back\nline; DROP TABLE findings;--"


@pytest.fixture
def notebook(store: Store) -> Notebook:
    store.open(new_incident("a"))
    store.open(new_incident("b"))
    return store.notebook


def cause(notebook: Notebook, text: str, incident: str = "inc-a", by: str = "me") -> Finding:
    return notebook.add_finding(incident, About.ROOT_CAUSE, text, by=by, at=5.0)


def follow_up(notebook: Notebook, text: str, incident: str = "inc-a", at: float = 5.0) -> FollowUp:
    return notebook.add_follow_up(incident, text, owner="ann", by="me", at=at)


def test_findings_come_back_in_the_order_of_writing_and_of_the_incidents_asked_for(
    notebook: Notebook,
) -> None:
    first = cause(notebook, NASTY)
    second = notebook.add_finding("inc-b", About.LESSON, "alert on disk", by="me", at=6.0)
    third = cause(notebook, "the disk was full", by="you")
    assert (first.text, first.about, first.by, first.at) == (NASTY, About.ROOT_CAUSE, "me", 5.0)
    assert list(notebook.findings(["inc-a"])) == [first, third]
    assert list(notebook.findings(["inc-b", "inc-a"])) == [first, second, third]
    assert list(notebook.findings([])) == []


def test_the_same_finding_is_kept_once_and_another_persons_is_another(notebook: Notebook) -> None:
    first = cause(notebook, "the disk was full")
    assert cause(notebook, "the disk was full") == first
    assert cause(notebook, "the disk was full", by="you") != first
    assert cause(notebook, "the disk was full", incident="inc-b") != first
    assert len(notebook.findings(["inc-a", "inc-b"])) == 3


def test_a_form_sent_many_times_at_once_is_kept_once(notebook: Notebook) -> None:
    with ThreadPoolExecutor(8) as pool:
        kept = set(pool.map(lambda n: follow_up(notebook, "more disk", at=float(n)), range(16)))
    assert len(kept) == 1
    assert list(notebook.open_follow_ups()) == list(kept)


def test_a_follow_up_is_listed_until_it_is_done(notebook: Notebook) -> None:
    disk, alarm = (
        follow_up(notebook, "more disk"),
        follow_up(notebook, "an alarm", incident="inc-b"),
    )
    assert list(notebook.open_follow_ups()) == [disk, alarm]
    done = notebook.finish(disk.number, by="ann", at=9.0)
    assert done is not None
    assert (done.text, done.done_at, done.done_by, done.open) == ("more disk", 9.0, "ann", False)
    assert list(notebook.open_follow_ups()) == [alarm]
    assert list(notebook.follow_ups(["inc-a"])) == [done]
    assert notebook.finish(disk.number, by="you", at=10.0) == done, "done is done"
    assert notebook.finish(10_000, by="you", at=10.0) is None
    assert follow_up(notebook, "more disk").number != disk.number, "what comes again is new"


def test_what_names_no_incident_is_not_written(notebook: Notebook) -> None:
    with pytest.raises(UnknownIncident):
        cause(notebook, "lost", incident="inc-none")
    with pytest.raises(UnknownIncident):
        follow_up(notebook, "lost", incident="inc-none")
    assert list(notebook.open_follow_ups()) == []
