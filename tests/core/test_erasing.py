"""Deleting a session: gone at once, erased with all that belongs to it, and nothing of it comes back."""

import pytest
from pymongo.database import Database
from redis import Redis

from devstack.servers import RedisServer
from devstack.upstream_control import UpstreamControl
from service.adapters.redis.streams import stream_key
from service.bootstrap import Container
from service.domain.dialogs import default_session_id
from service.domain.errors import Forbidden, NotFound, ValidationFailed
from service.domain.jobs import JobStatus
from service.usecases.places import NewSession
from tests.core.checker import check_money
from tests.core.erasing import NEW, SECRET, erased, everything, long_ago
from tests.core.support import ROOT, NewActor, ask, new_key, program_of, submit, wallet


def test_a_deleted_session_is_gone_and_nothing_of_it_is_left_but_what_it_cost(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, redis: RedisServer
) -> None:
    actor = new_actor(1_000_000)
    upstream.rule(contains=SECRET, answer=f"the answer has {SECRET} too")
    kept = ask(container, actor, "another one", place=NEW)
    job = ask(container, actor, SECRET, place=NewSession(title=SECRET), metadata={"a": SECRET}, stream=True)
    ask(container, actor, SECRET, chat_id=job.chat_id)
    extra = container.dialogs.add_chat(actor, job.session_id or "", SECRET)
    ask(container, actor, SECRET, chat_id=extra.id)
    before = wallet(container, actor)
    assert SECRET in everything(db)

    container.erase.session(actor, job.session_id or "")

    assert SECRET not in everything(db)
    with Redis.from_url(redis.uri) as client:
        assert SECRET.encode() not in b"".join(str(client.xrange(key)).encode() for key in client.keys("*answer*"))
        assert client.exists(stream_key(job.id))
    with pytest.raises(NotFound):
        container.dialogs.session(actor, job.session_id or "")
    with pytest.raises(NotFound):
        submit(container, actor, chat_id=job.chat_id)
    read = container.jobs.get(actor, job.id)
    assert (read.status, read.charged, read.answer, read.prompt) == (JobStatus.SUCCEEDED, job.charged, None, ())
    assert read.erased_at is not None
    assert wallet(container, actor) == before
    assert container.jobs.get(actor, kept.id) == kept
    assert len(container.dialogs.messages(actor, kept.chat_id or "", None, 10).items) == 2
    check_money(db)
    long_ago(db)
    container.upkeep()
    assert db.erasures.count_documents({}) == 0


def test_branches_go_with_their_session(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    job = ask(container, actor, place=NEW)
    db.branches.insert_one({"_id": "b", "chat_id": job.chat_id, "session_id": job.session_id, "path": []})
    container.erase.session(actor, job.session_id or "")
    assert db.branches.count_documents({}) == 0


def test_a_deleted_default_dialog_begins_anew(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    old = [ask(container, actor, SECRET) for _ in range(2)]
    assert old[0].session_id == default_session_id(actor.account_id)
    for _ in range(3):
        container.erase.session(actor, old[0].session_id or "")
        old = [ask(container, actor, "hello") for _ in range(2)]
        assert old[0].session_id == old[1].session_id
        assert [message.content for message in old[0].prompt[1:]] == ["hello"]
        assert len(old[1].prompt) == 4
        erased(container, db)
        assert len(container.dialogs.messages(actor, old[0].chat_id or "", None, 10).items) == 4
        assert container.contexts.get(actor, None) == old[1].context(20)
    assert SECRET not in everything(db)
    check_money(db)


def test_a_linked_end_users_dialog_begins_anew_too(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    anna, bot = new_actor(1_000_000), program_of(new_key(container, new_actor()))
    container.links.confirm(bot, "4242", container.links.issue(anna).code)
    first = ask(container, bot, SECRET, user_id="4242")
    own = ask(container, anna, "mine")
    container.erase.session(bot, first.session_id or "")
    second = ask(container, bot, "hello", user_id="4242")
    assert second.session_id not in (first.session_id, own.session_id)
    assert second.account_id == anna.account_id
    erased(container, db)
    assert SECRET not in everything(db)
    assert [message.content for message in second.prompt[1:]] == ["hello"]
    with pytest.raises(Forbidden):
        container.erase.session(bot, own.session_id or "")
    check_money(db)


def test_an_erased_job_is_not_retried_and_told_of_to_nobody(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    upstream.rule(contains="bad", status=400)
    job = ask(container, actor, "bad", place=NEW, callback_url="https://example.com/hook")
    assert job.status is JobStatus.FAILED
    container.erase.session(actor, job.session_id or "")

    with pytest.raises(ValidationFailed) as refused:
        container.admin.retry_job(ROOT, job.id)

    assert refused.value.details == {"jobId": ["job_erased"]}
    (delivery,) = db.deliveries.find()
    container.deliver(delivery["destination"])
    (delivery,) = db.deliveries.find()
    assert (delivery["status"], delivery["last_error"]) == ("dead", "job_erased")


def test_nobody_deletes_what_is_not_theirs(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    anna, stranger = new_actor(), new_actor()
    job = ask(container, anna)
    for who in (stranger, program_of(new_key(container, stranger))):
        with pytest.raises(Forbidden):
            container.erase.session(who, job.session_id or "")
    for nothing in ("x", "", "$where", "nul\x00inside"):
        with pytest.raises(NotFound):
            container.erase.session(anna, nothing)
    container.erase.session(ROOT, job.session_id or "")
    assert db.audit.count_documents({"action": "session.delete", "subject_id": anna.account_id}) == 1
