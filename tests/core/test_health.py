"""M bad of N is down, K good in a row is back; and what is neither good nor bad."""

from __future__ import annotations

import random

import pytest

from orchestrator.core.health import Health, Limit, Rule, Standing, Use, as_of, forgiven, judge
from tasks.contract import Kind
from tests.core.sky import INTERVAL, KINDS, judged, reading, watch

H, G, D, U = Health.HEALTHY, Health.DEGRADED, Health.DOWN, Health.UNKNOWN


@pytest.mark.parametrize(
    ("kinds", "healths"),
    [
        ("g", [H]),
        ("b", [U]),  # one alone is no verdict
        ("bb", [U, D]),
        ("gbgbg", [H, H, H, D, D]),  # two bad of three, whatever is between
        ("gbggb", [H, H, H, H, H]),  # two bad of four are not
        ("gsc", [H, H, D]),  # silence and refusal are both no answer
        ("gbbg", [H, H, D, D]),  # one good one does not bring it back
        ("gbbgg", [H, H, D, D, H]),
        ("gbbgbgg", [H, H, D, D, D, D, H]),
        ("gyyyyy", [H, G, G, G, G, G]),  # loading is never down
        ("grrrr", [H, G, G, G, G]),  # nor is a wrong password
        ("gbbyy", [H, H, D, G, G]),  # what says "not yet" lives
        ("gbyb", [H, H, G, D]),
        ("gyg", [H, G, G]),  # and must show twice that it is ready
        ("gygg", [H, G, G, H]),
        ("gxx", [H, H, D]),
    ],
)
def test_readings_become_health(kinds: str, healths: list[Health]) -> None:
    assert [each.health for each in judged(kinds)] == healths


def test_the_first_bad_reading_is_remembered_until_it_is_healthy() -> None:
    bad = judged("ggbgb")
    assert [each.first_bad_at for each in bad] == [None, None, 10.0, None, 20.0]
    down = judged("gbbbggg")
    assert down[3].first_bad_at == INTERVAL
    assert down[-1].first_bad_at is None
    assert not down[-1].suspect


def test_since_is_when_the_verdict_changed() -> None:
    found = judged("gggbbbgg")
    assert [each.since for each in found] == [0, 0, 0, 0, 20, 20, 20, 35]


def test_an_older_reading_changes_nothing() -> None:
    asked = watch("db/answers", Use.ANSWERS)
    now = judge(asked, None, reading(Kind.GOOD, 10.0))
    assert judge(asked, now, reading(Kind.BAD, 9.0)) == now


def slow(values: list[float]) -> list[Standing]:
    asked = watch("db/answers", Use.ANSWERS, {"response_seconds": Limit(1.0, 5.0)})
    standing: Standing | None = None
    found = []
    for number, value in enumerate(values):
        said = reading(Kind.GOOD, number * INTERVAL, metrics={"response_seconds": value})
        standing = judge(asked, standing, said)
        found.append(standing)
    return found


def test_slow_answers_degrade_by_a_rule_of_their_own() -> None:
    found = slow([0.1, 2, 2, 2, 2])
    assert [each.health for each in found] == [H, H, H, G, G]
    assert "response seconds is 2, over the warning 1" in found[-1].reason
    assert not found[-1].critical


def test_a_slow_answer_now_and_then_is_none() -> None:
    assert slow([0.1, 2, 0.1, 0.1, 2, 0.1, 0.1, 0.1, 2])[-1].health is H


def test_over_the_critical_limit_is_said_so() -> None:
    found = slow([0.1, 6, 6, 6])[-1]
    assert (found.health, found.critical) == (G, True)


def test_fast_answers_end_it() -> None:
    assert slow([0.1, 2, 2, 2, 0.1, 0.1])[-1].health is H


def test_without_fresh_readings_nothing_is_known() -> None:
    asked = watch("db/answers", Use.ANSWERS)
    standing = judge(asked, None, reading(Kind.GOOD, 0.0))
    assert as_of(asked, standing, 18.0).health is H
    stale = as_of(asked, standing, 18.1)
    assert stale.health is U
    assert stale.reason.startswith("no data for 18 s from coordinator; before that healthy: ")


def test_what_was_bad_before_a_verified_recovery_is_forgiven() -> None:
    asked, down = watch("db/answers", Use.ANSWERS), judged("gbbb")[-1]
    assert forgiven(asked, down, 16.0).health is U
    assert forgiven(asked, down, 16.0).first_bad_at is None
    assert forgiven(asked, down, 7.0).health is D  # two of them came after


@pytest.mark.parametrize("seed", range(300))
def test_whatever_comes_health_keeps_its_promises(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    rule = Rule()
    kinds = "".join(chance.choice("gggbcsyrx") for _ in range(60))
    found = judged(kinds)
    for number, standing in enumerate(found):
        recent = [KINDS[k] for k in kinds[max(0, number - rule.of + 1) : number + 1]]
        bad = [k for k in recent if k in (Kind.BAD, Kind.CLOSED, Kind.SILENT, Kind.CHOSEN)]
        if standing.health is D:
            turned = next(s for s in found if s.since == standing.since and s.health is D)
            assert turned.last is not None
            assert turned.last.kind not in (Kind.BUSY, Kind.BARRED, Kind.GOOD)
        if len(bad) >= rule.bad and recent[-1] in bad:
            assert standing.health is D
        if standing.health is H:
            assert standing.first_bad_at is None or recent[-1] in bad
        if kinds[number] in "yr":
            assert standing.health is G
