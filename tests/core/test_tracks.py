"""Tracks: whose they are, what a plan makes of them, and how far somebody has come, also when all happens at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.client_session import ClientSession
from pymongo.database import Database

from service.adapters.mongo.modules import begin_module, store_lesson, store_modules
from service.adapters.mongo.tracks import MongoTracks
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.errors import Forbidden, NotFound, ValidationFailed
from service.domain.tracks import ModuleStatus, Track, TrackStatus
from service.usecases import tracks as use_case
from service.usecases.ports import TrackQuery
from tests.core.queries import RECORDER
from tests.core.support import ROOT, NewActor, at_once, new_key, plan_of, program_of, spread


def new_track(container: Container, actor: Actor, user_id: str | None = None, **fields: Any) -> Track:
    return container.tracks.create(actor, user_id, {"title": "course", **fields})


def transact(container: Container, callback: Any) -> Any:
    return container.jobs._money._transactions.run(callback)


def looked_at(plan: Any) -> Iterator[int]:
    """How many keys and documents each part of an explained query looked at."""
    if isinstance(plan, dict):
        yield from (plan[name] for name in ("totalKeysExamined", "totalDocsExamined") if name in plan)
    for part in plan.values() if isinstance(plan, dict) else plan if isinstance(plan, list) else ():
        yield from looked_at(part)


def titles(container: Container, actor: Actor, user_id: str | None = None, **query: Any) -> list[str]:
    return [track.title for track in container.tracks.page(actor, user_id, TrackQuery(**query))[0]]


def test_a_track_is_its_owners_and_an_admins(container: Container, db: Database, new_actor: NewActor) -> None:
    anna, boris = new_actor(), new_actor(role=Role.GUEST)
    track, other = new_track(container, anna), new_track(container, boris, title="other")
    assert container.tracks.get(anna, track.id) == container.tracks.get(ROOT, track.id)
    assert db.audit.count_documents({"action": "track.read", "details.track_id": track.id}) == 1
    for forbidden in (
        lambda: container.tracks.read(boris, track.id),
        lambda: container.tracks.change(boris, track.id, {"title": "mine"}),
        lambda: container.tracks.delete(boris, track.id),
        lambda: container.tracks.adopt(boris, track.id, plan_of("a")),
        lambda: container.tracks.page(boris, anna.account_id, TrackQuery()),
        lambda: new_track(container, boris, anna.account_id),
    ):
        with pytest.raises(Forbidden):
            forbidden()
    assert (titles(container, anna), titles(container, boris)) == (["course"], ["other"])
    assert titles(container, ROOT, boris.account_id) == ["other"]
    with pytest.raises(NotFound):
        container.tracks.get(anna, "unknown")
    assert container.tracks.get(boris, other.id).title == "other"


def test_a_programs_end_users_have_tracks_of_their_own(container: Container, db: Database, new_actor: NewActor) -> None:
    anna = new_actor()
    program, other = (program_of(new_key(container, anna)) for _ in range(2))
    track = new_track(container, program, "4242", title="of 4242")
    own = new_track(container, program, title="own")
    assert (track.external_user_id, track.account_id) == ("4242", track.end_user_id)
    assert titles(container, program, "4242") == ["of 4242"]
    assert titles(container, program, "7") == []
    assert titles(container, program) == titles(container, anna) == ["own"]
    assert container.tracks.get(program, track.id).id == track.id
    for stranger in (other, anna):
        with pytest.raises(Forbidden):
            container.tracks.get(stranger, track.id)
    assert container.tracks.get(other, own.id).title == "own"


def test_a_linked_end_users_tracks_are_the_persons_too(container: Container, db: Database, new_actor: NewActor) -> None:
    anna, person = new_actor(), new_actor()
    program = program_of(new_key(container, anna))
    container.links.confirm(program, "4242", container.links.issue(person).code)
    track = new_track(container, program, "4242", title="by the bot")
    private = new_track(container, person, title="private")
    assert track.account_id == person.account_id
    assert titles(container, program, "4242") == ["by the bot"]
    assert titles(container, person) == ["private", "by the bot"]
    assert container.tracks.get(person, track.id) == container.tracks.get(program, track.id)
    with pytest.raises(Forbidden):
        container.tracks.get(program, private.id)


def test_lists_are_paged_and_filtered(container: Container, db: Database, new_actor: NewActor) -> None:
    anna = new_actor()
    made = [new_track(container, anna, title=str(number)) for number in range(5)]
    for number, track in enumerate(made):
        created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        db.tracks.update_one({"_id": track.id}, {"$set": {"created_at": created}})
    container.tracks.change(anna, made[3].id, {"status": "archived"})
    pages = [titles(container, anna, page=page, limit=2) for page in (1, 2, 3, 4)]
    assert pages == [["4", "3"], ["2", "1"], ["0"], []]
    assert container.tracks.page(anna, None, TrackQuery(limit=2))[1] == 5
    archived, total = container.tracks.page(anna, None, TrackQuery(status=TrackStatus.ARCHIVED))
    assert ([track.title for track in archived], total) == (["3"], 1)


def test_an_account_has_so_many_tracks_at_most(
    container: Container, db: Database, new_actor: NewActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_case, "MAX_TRACKS", 2)
    anna = new_actor()
    for _ in range(2):
        new_track(container, anna)
    with pytest.raises(ValidationFailed) as refused:
        new_track(container, anna)
    assert refused.value.details == {"title": ["too_many_tracks:2"]}


def test_among_a_hundred_thousand_tracks_a_list_reads_its_own(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    anna = new_actor()
    row = db.tracks.find_one({"_id": new_track(container, anna).id})
    now = datetime.now(UTC)
    for start in range(0, 100_000, 10_000):
        db.tracks.insert_many(
            {**row, "_id": f"t{n}", "account_id": f"other-{n % 1000}", "created_at": now - timedelta(seconds=n)}
            for n in range(start, start + 10_000)
        )
    db.tracks.insert_many({**row, "_id": f"own{n}", "title": str(n)} for n in range(40))
    for status in (None, TrackStatus.ACTIVE):
        RECORDER.queries.clear()
        found, total = container.tracks.page(anna, None, TrackQuery(status=status, limit=20))
        assert (len(found), total) == (20, 41)
        asked = [query for query in RECORDER.queries.values() if query.method == "MongoTracks.page"]
        assert {query.name for query in asked} == {"find", "aggregate"}
        for query in asked:
            looked = list(looked_at(db.command({"explain": query.command, "verbosity": "executionStats"})))
            assert looked
            assert max(looked) <= 42, query


def test_a_plan_becomes_modules_and_once_more_changes_nothing(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    anna = new_actor()
    track = new_track(container, anna)
    found = container.tracks.adopt(anna, track.id, plan_of("a", "b", lessons=50))
    assert [(module.title, module.position, module.status) for module in found.modules] == [
        ("a", 0, ModuleStatus.PENDING),
        ("b", 1, ModuleStatus.PENDING),
    ]
    assert [lesson.title for lesson in found.modules[0].lessons] == [f"a {number}" for number in range(50)]
    container.tracks.complete(anna, found.modules[0].id)
    before = (list(db.modules.find()), list(db.tracks.find()))
    again = container.tracks.adopt(anna, track.id, plan_of("a", "b", lessons=50))
    assert (again.track.progress, [module.status for module in again.modules]) == (
        50,
        [ModuleStatus.COMPLETED, ModuleStatus.PENDING],
    )
    assert (list(db.modules.find()), list(db.tracks.find())) == before


def test_another_plan_keeps_what_it_didnt_change(container: Container, db: Database, new_actor: NewActor) -> None:
    anna = new_actor()
    track = new_track(container, anna)
    a, b = container.tracks.adopt(anna, track.id, plan_of("a", "b")).modules
    transact(container, lambda session: begin_module(session, a.id, "chat-a"))
    transact(container, lambda session: store_lesson(session, a.id, a.lessons[0].id, {"title": "material"}))
    for module in (a, b):
        container.tracks.complete(anna, module.id)
    assert container.tracks.get(anna, track.id).status is TrackStatus.COMPLETED

    after = container.tracks.adopt(anna, track.id, plan_of("c", "d", "a"))
    assert [(module.title, module.position, module.status.value) for module in after.modules] == [
        ("c", 0, "pending"),
        ("d", 1, "pending"),
        ("a", 2, "completed"),
    ]
    assert (after.track.progress, after.track.status) == (33, TrackStatus.ACTIVE)
    kept = container.tracks.read(anna, track.id, with_content=True).modules[2]
    assert (kept.id, kept.chat_id, kept.lessons[0].content) == (a.id, "chat-a", {"title": "material"})
    with pytest.raises(NotFound):
        container.tracks.module(anna, b.id)


def test_a_module_is_begun_once_and_completed_once(container: Container, db: Database, new_actor: NewActor) -> None:
    anna = new_actor()
    track = new_track(container, anna)
    a, _ = container.tracks.adopt(anna, track.id, plan_of("a", "b")).modules
    assert transact(container, lambda session: begin_module(session, a.id, "chat")) is True
    assert container.tracks.module(anna, a.id)[1].status is ModuleStatus.IN_PROGRESS
    assert transact(container, lambda session: begin_module(session, a.id, "other")) is False
    assert container.tracks.module(anna, a.id)[1].chat_id == "chat"
    for _ in range(2):
        assert container.tracks.complete(anna, a.id).track.progress == 50
    assert transact(container, lambda session: store_lesson(session, a.id, "unknown", {})) is False


def test_a_finished_module_that_is_begun_stays_finished(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    anna = new_actor()
    (a,) = container.tracks.adopt(anna, new_track(container, anna).id, plan_of("a")).modules
    container.tracks.complete(anna, a.id)
    transact(container, lambda session: begin_module(session, a.id, "chat"))
    assert container.tracks.module(anna, a.id)[1].status is ModuleStatus.COMPLETED


def test_modules_that_are_completed_at_once_all_count(
    processes: list[Container], container: Container, db: Database, new_actor: NewActor
) -> None:
    anna = new_actor()
    track = new_track(container, anna)
    modules = container.tracks.adopt(anna, track.id, plan_of(*"abcdefgh")).modules
    calls = [
        lambda process=processes[number % len(processes)], module_id=module.id: process.tracks.complete(anna, module_id)
        for number, module in enumerate(modules)
    ]
    assert not [each for each in at_once(calls) if isinstance(each, Exception)]
    done = container.tracks.get(anna, track.id)
    assert (done.progress, done.status) == (100, TrackStatus.COMPLETED)


def test_the_same_plan_at_once_is_stored_once(
    processes: list[Container], container: Container, db: Database, new_actor: NewActor
) -> None:
    anna = new_actor()
    track = new_track(container, anna)
    adopt = lambda process: process.tracks.adopt(anna, track.id, plan_of("a", "b"))  # noqa: E731
    results = at_once(spread(adopt, processes, 6))
    assert not [each for each in results if isinstance(each, Exception)]
    assert sorted(row["position"] for row in db.modules.find()) == [0, 1]


def test_deleting_takes_the_modules_and_the_dialogs_in_one_transaction(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    anna, transactions = new_actor(), container.jobs._money._transactions
    track, other = new_track(container, anna), new_track(container, anna)
    for each in (track, other):
        container.tracks.adopt(anna, each.id, plan_of("a", "b"))
    erased: list[str] = []

    def erase(session: ClientSession, gone: Track) -> None:
        assert session.in_transaction
        erased.append(gone.id)

    def fail(session: ClientSession, gone: Track) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        MongoTracks(transactions, erase_dialogs=fail).delete(track)
    assert (db.tracks.count_documents({}), db.modules.count_documents({})) == (2, 4)
    store = MongoTracks(transactions, erase_dialogs=erase)
    assert (store.delete(track), store.delete(track)) == (True, False)
    assert erased == [track.id]
    assert [row["_id"] for row in db.tracks.find()] == [other.id]
    assert {row["track_id"] for row in db.modules.find()} == {other.id}
    container.tracks.delete(anna, other.id)
    assert (db.tracks.count_documents({}), db.modules.count_documents({})) == (0, 0)


def test_a_plan_for_a_track_that_is_gone_is_stored_nowhere(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    anna = new_actor()
    track = new_track(container, anna)
    container.tracks.delete(anna, track.id)
    assert transact(container, lambda session: store_modules(session, track.id, plan_of("a"))) is False
    assert db.modules.count_documents({}) == 0


def test_a_track_that_is_deleted_while_it_is_planned_leaves_nothing(
    processes: list[Container], container: Container, db: Database, new_actor: NewActor
) -> None:
    anna = new_actor()
    for _ in range(5):
        track = new_track(container, anna)
        at_once(
            [
                lambda track=track: processes[1].tracks.adopt(anna, track.id, plan_of("a", "b")),
                lambda track=track: processes[2].tracks.delete(anna, track.id),
            ]
        )
        assert db.modules.count_documents({"track_id": track.id}) == 0
