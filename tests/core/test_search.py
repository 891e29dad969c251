"""Search in one's own dialogs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.adapters.mongo.search import MATCHES
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import Forbidden, ValidationFailed
from service.domain.search import SNIPPET_CHARACTERS, snippet, words_of
from service.usecases.places import NewSession
from service.usecases.search import Found
from tests.core.queries import RECORDER
from tests.core.support import ROOT, NewActor, ask, new_key, program_of


def found(container: Container, actor: Actor, query: str, user_id: str | None = None, **page: Any) -> list[Found]:
    return list(container.search(actor, user_id, query, page.get("cursor"), page.get("limit", 20)).items)


def contents(container: Container, actor: Actor, query: str, user_id: str | None = None) -> list[str]:
    return [each.message.content for each in found(container, actor, query, user_id)]


def many_messages(db: Database, message_id: str, count: int, text: str) -> None:
    """Copies of a message that say something else, a second apart."""
    row = db.messages.find_one({"_id": message_id}) or {}
    now = datetime.now(UTC)
    db.messages.insert_many(
        {
            **row,
            "_id": f"copy-{number:06}",
            "branch": "copies",
            "position": number,
            "parent_id": None,
            "content": text.format(number=number),
            "created_at": now - timedelta(seconds=number),
        }
        for number in range(count)
    )


def test_words_are_found_in_any_form_in_questions_and_answers(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    upstream.rule(contains="кофейн", answer="Назовите её «Прибой»")
    upstream.rule(answer="pong")
    job = ask(container, actor, "Как назвать кофейню у моря?", place=NewSession())
    ask(container, actor, "Sailing boats in winter", place=NewSession())
    for query in ("кофейни", "кофейня", "КОФЕЙНЮ", "море", "нет кофейня", '"кофейня', "-кофейня"):
        assert contents(container, actor, query) == ["Как назвать кофейню у моря?"], query
    assert contents(container, actor, "прибой") == ["Назовите её «Прибой»"]
    assert contents(container, actor, "sail boat") == ["Sailing boats in winter"]
    (hit,) = found(container, actor, "прибой")
    assert (hit.message.id, hit.message.role) == (f"{job.id}:assistant", "assistant")
    assert (hit.session.title, hit.snippet) == ("Как назвать кофейню у моря?", "Назовите её «Прибой»")
    assert contents(container, actor, "nothing") == []


def test_the_most_relevant_comes_first_and_pages_go_on(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    upstream.rule(answer="pong")
    texts = ["harbour", "a harbour and much else that has nothing to do with it", "the harbour of the harbour"]
    for text in texts:
        ask(container, actor, text)
    ranked = contents(container, actor, "harbour")
    assert sorted(ranked) == sorted(texts)
    assert ranked[-1] == texts[1]
    first = container.search(actor, None, "harbour", None, 2)
    rest = container.search(actor, None, "harbour", first.next_cursor, 2)
    assert [each.message.content for each in (*first.items, *rest.items)] == ranked
    assert rest.next_cursor is None


def test_everybody_finds_their_own(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    anna, stranger = new_actor(1_000_000), new_actor(1_000_000)
    bot = program_of(new_key(container, stranger))
    upstream.rule(answer="pong")
    ask(container, anna, "tamarisk of anna")
    ask(container, stranger, "tamarisk of the stranger")
    container.billing.top_up(bot, "1", 100_000, None)
    ask(container, bot, "tamarisk of one", user_id="1")
    container.links.confirm(bot, "2", container.links.issue(anna).code)
    ask(container, bot, "tamarisk of anna by the bot", user_id="2")

    assert contents(container, stranger, "tamarisk") == ["tamarisk of the stranger"]
    assert sorted(contents(container, anna, "tamarisk")) == ["tamarisk of anna", "tamarisk of anna by the bot"]
    assert contents(container, bot, "tamarisk", "1") == ["tamarisk of one"]
    assert contents(container, bot, "tamarisk", "2") == ["tamarisk of anna by the bot"]
    assert contents(container, bot, "tamarisk", "3") == []
    assert len(contents(container, ROOT, "tamarisk", anna.account_id)) == 2
    with pytest.raises(Forbidden):
        contents(container, stranger, "tamarisk", anna.account_id)


def test_what_was_deleted_is_not_found_though_it_is_not_erased_yet(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    job = ask(container, actor, "tamarisk", place=NewSession())
    session = container.dialogs.session(actor, job.session_id or "")
    assert container.erase._erasures.begin(session, "x") is not None
    assert db.messages.count_documents({}) == 2
    assert contents(container, actor, "tamarisk") == []


@pytest.mark.parametrize("query", ["a b c", "common", "common number"])
def test_a_word_that_is_everywhere_costs_no_more_than_a_thousand_messages(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, query: str
) -> None:
    actor = new_actor(1_000_000)
    job = ask(container, actor, "begin")
    many_messages(db, f"{job.id}:user", 3 * MATCHES, "a common word with the number {number}")
    RECORDER.queries.clear()

    hits = found(container, actor, query)

    assert len(hits) == (20 if "common" in query else 0)
    for asked in RECORDER.queries.values():
        if asked.collection == "messages":
            command = {**asked.command, **({"cursor": {}} if asked.name == "aggregate" else {})}
            stats = str(db.command({"explain": command, "verbosity": "executionStats"}))
            assert f"'totalDocsExamined': {3 * MATCHES}" not in stats
            examined = [int(part.split(",")[0].split("}")[0]) for part in stats.split("'totalDocsExamined': ")[1:]]
            assert max(examined) <= MATCHES


@pytest.mark.parametrize(
    "query", ["", " ", "-", '"', '""" - -', "...", "🙂", "_", "a" * 201, "\u200b", "(){}[]", "'--"]
)
def test_a_query_without_words_is_refused(container: Container, db: Database, new_actor: NewActor, query: str) -> None:
    with pytest.raises(ValidationFailed):
        found(container, new_actor(), query)


@pytest.mark.parametrize("query", ["$where", "a\x00b", "{$gt: ''}", "x" * 200, "a " * 100, "é", "日本語", "٣", "İI"])
def test_odd_queries_find_nothing(container: Container, db: Database, new_actor: NewActor, query: str) -> None:
    assert found(container, new_actor(), query) == []


@pytest.mark.parametrize("cursor", ["x", "W10", "WyJhIl0", "a" * 500])
def test_a_bad_cursor(container: Container, db: Database, new_actor: NewActor, cursor: str) -> None:
    with pytest.raises(ValidationFailed):
        found(container, new_actor(), "word", cursor=cursor)


def test_snippets() -> None:
    long = "before " * 100 + "the Café\n\nis <b>here</b> " + "after " * 100
    piece = snippet(long, words_of("cafes"))
    assert "the Café is <b>here</b> after" in piece
    assert piece.startswith("…before")
    assert piece.endswith("…")
    assert len(piece) <= SNIPPET_CHARACTERS + 2
    assert snippet("short", words_of("nothing")) == "short"
    assert snippet("", words_of("nothing")) == ""
    assert snippet("İstanbul ﬁn x", words_of("fin")).startswith("İstanbul")
    assert len(snippet("a" * 100_000, words_of("b"))) <= SNIPPET_CHARACTERS + 1
