"""Pages of long lists cost what they show, however much there is: `explain` says what the database looked at.

Two thousand rows by default; `DIALOG_ROWS=100000` takes a minute or two.
"""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from service.adapters.mongo import cursors
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.dialogs import DialogStatus
from service.usecases.dialogs import SessionFilter
from service.usecases.places import NewSession
from tests.core.queries import RECORDER
from tests.core.support import NewActor, ask, new_key, program_of

ROWS = int(os.environ.get("DIALOG_ROWS", "2000"))
PAGE = 20
# A page, the row after it that says whether there is more, and one more key for each bound of a range.
LOOKED_AT = PAGE + 5


def looked_at(db: Database, method: str, collection: str) -> tuple[int, int]:
    """How many index keys and documents the last such query of this method looked at."""
    query = next(q for q in reversed(RECORDER.queries.values()) if (q.method, q.collection) == (method, collection))
    explained = db.command({"explain": query.command, "verbosity": "executionStats"})
    stats = explained.get("executionStats") or explained["stages"][0]["$cursor"]["executionStats"]
    return stats["totalKeysExamined"], stats["totalDocsExamined"]


def many_sessions(db: Database, session_id: str, count: int) -> None:
    """Copies of a session, one a second into the past; every other one is archived."""
    row, now = db.sessions.find_one({"_id": session_id}), datetime.now(UTC)
    db.sessions.insert_many(
        {
            **row,
            "_id": f"copy-{number:06}",
            "updated_at": now - timedelta(seconds=number),
            "status": ("active", "archived")[number % 2],
        }
        for number in range(count)
    )


def many_messages(db: Database, chat_id: str, count: int) -> None:
    """A chat of so many messages, in one line."""
    row, now = db.messages.find_one({"chat_id": chat_id, "position": 1}), datetime.now(UTC)
    db.messages.insert_many(
        {
            **row,
            "_id": f"copy-{number:06}",
            "position": number,
            "parent_id": f"copy-{number - 1:06}",
            "created_at": now + timedelta(seconds=number),
        }
        for number in range(2, count)
    )
    db.chats.update_one({"_id": chat_id}, {"$set": {"length": count, "message_count": count}})


@pytest.fixture
def owner(db: Database, new_actor: NewActor) -> Actor:
    return new_actor(1_000_000)


WANTED: list[dict[str, Any]] = [{}, {"status": DialogStatus.ARCHIVED}, {"track_id": "track"}]


@pytest.mark.parametrize("wanted", WANTED, ids=["all", "of a status", "of a track"])
@pytest.mark.parametrize("of_program", [False, True], ids=["person", "program"])
def test_a_late_page_of_sessions_costs_what_it_shows(
    container: Container, db: Database, owner: Actor, wanted: dict[str, Any], of_program: bool
) -> None:
    actor, name = (program_of(new_key(container, owner)), "4242") if of_program else (owner, None)
    session = container.dialogs.create(actor, name, "api", NewSession()).session
    db.sessions.update_one({"_id": session.id}, {"$set": {"track_id": "track"}})
    many_sessions(db, session.id, ROWS)
    middle = db.sessions.find_one({"_id": f"copy-{ROWS // 2:06}"})
    cursor = cursors.encode(middle["updated_at"], middle["_id"])

    RECORDER.queries.clear()
    page = container.dialogs.page(actor, SessionFilter(name, cursor=cursor, limit=PAGE, **wanted))

    assert len(page.items) == PAGE
    keys, documents = looked_at(db, "MongoDialogs.page", "sessions")
    # Of an end user's sessions and of a track's those of another status are passed over.
    share = 2 if of_program and "status" in wanted else 1
    assert max(keys, documents) <= share * LOOKED_AT


@pytest.mark.parametrize("of_program", [False, True], ids=["person", "program"])
def test_an_accounts_sessions_are_counted_in_the_index(
    container: Container, db: Database, owner: Actor, of_program: bool
) -> None:
    actor, name = (program_of(new_key(container, owner)), "4242") if of_program else (owner, None)
    session = container.dialogs.create(actor, name, "api", NewSession()).session
    many_sessions(db, session.id, ROWS)
    db.sessions.update_many({}, {"$set": {"message_count": 2}})

    RECORDER.queries.clear()
    assert container.dialogs.totals(actor, name) == (ROWS + 1, 2 * (ROWS + 1))
    assert looked_at(db, "MongoDialogs.totals", "sessions")[1] == 0


@pytest.mark.parametrize("at", [None, 0.5, 0.01], ids=["newest", "middle", "oldest"])
def test_a_page_of_messages_costs_what_it_shows(
    container: Container, db: Database, owner: Actor, at: float | None
) -> None:
    job = ask(container, owner, place=NewSession())
    many_messages(db, job.chat_id or "", ROWS)
    cursor = None if at is None else cursors.encode(int(ROWS * at))

    RECORDER.queries.clear()
    page = container.dialogs.messages(owner, job.chat_id or "", cursor, PAGE)

    end = ROWS if at is None else int(ROWS * at)
    assert [message.position for message in page.items] == list(range(end - PAGE, end))
    assert max(looked_at(db, "MongoDialogs.messages_before", "messages")) <= LOOKED_AT


def test_a_question_in_a_long_dialog_reads_none_of_it(container: Container, db: Database, owner: Actor) -> None:
    job = ask(container, owner, place=NewSession())
    many_messages(db, job.chat_id or "", ROWS)
    db.sessions.update_one({"_id": job.session_id}, {"$set": {"message_count": ROWS}})
    db.chats.update_one({"_id": job.chat_id}, {"$set": {"leaf_id": f"copy-{ROWS - 1:06}"}})

    RECORDER.queries.clear()
    ask(container, owner, chat_id=job.chat_id)

    assert not [query for query in RECORDER.queries.values() if query.collection == "messages"]
    assert container.dialogs.session(owner, job.session_id or "").message_count == ROWS + 2
