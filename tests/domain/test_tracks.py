"""How plans become modules, and modules progress."""

import pytest

from service.domain.tracks import ModuleStatus, TrackStatus, planned, progress, status_at
from tests.core.support import plan_of

DONE, OPEN, BEGUN = ModuleStatus.COMPLETED, ModuleStatus.PENDING, ModuleStatus.IN_PROGRESS


def test_a_plan_has_the_same_modules_every_time() -> None:
    plan = plan_of("a", "b", lessons=2)
    assert planned("track", plan) == planned("track", plan)
    assert [(module.title, module.position) for module in planned("track", plan)] == [("a", 0), ("b", 1)]
    ids = [each.id for module in planned("track", plan) for each in (module, *module.lessons)]
    assert len(set(ids)) == 6
    assert not set(ids) & {module.id for module in planned("another", plan)}


def test_what_a_plan_keeps_stays_the_same_module() -> None:
    a, b = planned("track", plan_of("a", "b"))
    b_again, c, a_again = planned("track", plan_of("b", "c", "a"))
    assert (a.id, b.id) == (a_again.id, b_again.id)
    changed = plan_of("a", "b")
    changed["modules"][0]["lessons"][0]["duration_minutes"] = 31
    assert [module.id == old.id for module, old in zip(planned("track", changed), (a, b), strict=True)] == [False, True]
    assert c.id not in (a.id, b.id)


def test_twins_are_two_modules() -> None:
    twins = planned("track", plan_of("a", "a", "a"))
    assert len({module.id for module in twins}) == 3
    assert [module.id for module in planned("track", plan_of("a", "a"))] == [module.id for module in twins[:2]]


@pytest.mark.parametrize(
    ("statuses", "percent"),
    [([], 0), ([OPEN], 0), ([BEGUN], 0), ([DONE], 100), ([DONE, OPEN, BEGUN], 33), ([DONE] * 199 + [OPEN], 99)],
)
def test_progress_is_the_share_of_what_is_done(statuses: list[ModuleStatus], percent: int) -> None:
    assert progress(statuses) == percent


@pytest.mark.parametrize(
    ("status", "reached", "after"),
    [
        (TrackStatus.ACTIVE, 99, TrackStatus.ACTIVE),
        (TrackStatus.ACTIVE, 100, TrackStatus.COMPLETED),
        (TrackStatus.COMPLETED, 50, TrackStatus.ACTIVE),
        (TrackStatus.ARCHIVED, 50, TrackStatus.ARCHIVED),
        (TrackStatus.ARCHIVED, 100, TrackStatus.ARCHIVED),
    ],
)
def test_a_track_is_completed_with_its_last_module(status: TrackStatus, reached: int, after: TrackStatus) -> None:
    assert status_at(status, reached) is after
