"""Reviews over HTTP: JSON, Markdown, a page to be kept, and what people write into them."""

from __future__ import annotations

import pytest

from orchestrator.core.incident import Incident
from orchestrator.web.reviewshape import ReviewShape
from tasks.contract import Outcome
from tests.web.world import Api, World


@pytest.fixture
def closed(world: World, api: Api) -> Incident:
    """A run that was ordered, carried out and closed."""
    run = world.coordinator.recover("restart", reason="it hangs")
    world.carry_on()
    api.post(f"/api/v1/incidents/{run.id}/close", {"reason": "it holds"})
    return run


def test_a_closed_incident_has_a_review(api: Api, closed: Incident) -> None:
    told = api.get(f"/api/v1/incidents/{closed.id}/review").json()
    assert set(told) == set(ReviewShape.__annotations__)
    assert (told["final"], told["recovered"]) == (True, True)
    assert told["rto"]["verdict"] == "met"
    assert told["rto"]["achieved_s"] == told["times"]["rta_s"]
    assert (told["rpo"]["verdict"], told["rpo"]["achieved_s"]) == ("not measured", None)
    (action,) = told["actions"]
    assert (action["operation"], action["title"]) == ("service.restart", "restart the service")
    assert action["outcome"] == "done"
    assert told["timeline"] == api.get(f"/api/v1/runs/{closed.run}").json()["timeline"]


def test_it_is_preliminary_before_and_tells_what_failed(world: World, api: Api) -> None:
    run = world.coordinator.recover("restart", reason="it hangs")
    (order,) = world.orders()
    world.report(order, Outcome.FAILED, "exit code 1")
    told = api.get(f"/api/v1/incidents/{run.id}/review").json()
    assert (told["final"], told["state"]) == (False, "escalated")
    assert [each["reason"] for each in told["evidence"]] == ["exit code 1"]


def test_it_is_read_as_markdown_and_as_a_page(api: Api, closed: Incident) -> None:
    text = api.get(f"/api/v1/incidents/{closed.id}/review.md")
    assert text.headers["content-type"].startswith("text/markdown")
    for part in ("Times", "Root cause", "Actions taken", "Lessons", "Follow-ups", "Timeline"):
        assert f"\n## {part}\n" in text.text
    page = api.get(f"/api/v1/incidents/{closed.id}/review.html")
    assert page.headers["content-type"].startswith("text/html")
    assert "<h2>Root cause</h2>" in page.text
    for foreign in ("<script", "<form", "http://", "https://"):
        assert foreign not in page.text


def test_people_complete_it_and_the_list_says_what_is_left(api: Api, closed: Incident) -> None:
    place = f"/api/v1/incidents/{closed.id}"

    def missing() -> list[str]:
        (listed,) = api.get("/api/v1/incidents").json()["incidents"]
        assert listed["missing"] == api.get(f"{place}/review").json()["missing"]
        found: list[str] = listed["missing"]
        return found

    assert missing() == ["root cause not written"]
    cause = {"about": "root_cause", "text": "a leak"}
    written = api.post(f"{place}/findings", cause)
    assert written.status_code == 201
    assert (written.json()["by"], written.json()["about"]) == ("operator", "root_cause")
    api.post(f"{place}/findings", {"about": "lesson", "text": "watch memory"})
    todo = api.post(f"{place}/follow-ups", {"text": "more memory", "owner": "bob"}).json()
    assert missing() == ["1 follow-up open"]
    assert api.get("/api/v1/follow-ups").json() == {"follow_ups": [todo]}
    done = api.post(f"/api/v1/follow-ups/{todo['number']}/done").json()
    assert done["done_by"] == "operator"
    assert missing() == []
    assert api.get("/api/v1/follow-ups").json() == {"follow_ups": []}
    assert api.get(f"{place}/follow-ups").json() == {"follow_ups": [done]}
    told = api.get(f"{place}/review").json()
    assert told["root_cause"]["text"] == "a leak"
    assert [each["text"] for each in told["lessons"]] == ["watch memory"]
    text = api.get(f"{place}/review.md").text
    assert "a leak (operator, " in text
    assert "watch memory (operator, " in text


def test_a_doubled_form_is_kept_once(api: Api, closed: Incident) -> None:
    place = f"/api/v1/incidents/{closed.id}"
    numbers = {
        api.post(f"{place}/follow-ups", {"text": "more memory"}).json()["number"] for _ in "abc"
    }
    assert len(numbers) == 1


def test_what_a_machine_or_a_person_wrote_is_text_on_the_page(world: World, api: Api) -> None:
    run = world.coordinator.recover("restart", reason="it hangs")
    (order,) = world.orders()
    world.report(order, Outcome.FAILED, "<script>alert('log')</script>")
    place = f"/api/v1/incidents/{run.id}"
    api.post(f"{place}/findings", {"about": "root_cause", "text": "<img src=x onerror=y>"})
    page = api.get(f"{place}/review.html").text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<img" not in page


BAD = [
    ("findings", {"about": "guess", "text": "x"}, 422, "body.about"),
    ("findings", {"about": "lesson", "text": " "}, 422, "body.text"),
    ("findings", {"about": "lesson", "text": "x" * 4001}, 422, "body.text"),
    ("follow-ups", {"text": "x", "owner": "y" * 101}, 422, "body.owner"),
    ("follow-ups", {}, 422, "body.text"),
]


@pytest.mark.parametrize(("what", "body", "status", "said"), BAD)
def test_what_cannot_be_kept_is_refused(
    api: Api, closed: Incident, what: str, body: dict[str, str], status: int, said: str
) -> None:
    answer = api.post(f"/api/v1/incidents/{closed.id}/{what}", body)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_what_is_not_there_is_said_to_be_so(api: Api) -> None:
    for method, path in (("GET", "review"), ("GET", "review.md"), ("GET", "follow-ups")):
        answer = api.http.request(method, f"/api/v1/incidents/none/{path}")
        assert answer.json()["type"] == "urn:autobot-dr:problem:unknown-incident"
    answer = api.post("/api/v1/incidents/none/follow-ups", {"text": "x"})
    assert answer.json()["type"] == "urn:autobot-dr:problem:unknown-incident"
    answer = api.post("/api/v1/follow-ups/77/done")
    assert answer.json()["type"] == "urn:autobot-dr:problem:unknown-follow-up"
    assert api.post("/api/v1/follow-ups/99999999999999/done").status_code == 422
