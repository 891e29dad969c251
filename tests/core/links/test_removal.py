"""Links that end: the money stays with the account, and its dialogs are its own."""

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.adapters.mongo.jobs import MongoJobs
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import Forbidden, InsufficientTokens, NotFound, ValidationFailed
from service.domain.jobs import failed
from service.usecases.ports import TrackQuery
from tests.core.checker import check_money
from tests.core.links.support import CHAT_ID, balance, link
from tests.core.support import ROOT, NewActor, ask, new_key, program_of, submit, wallet


def test_a_removed_link_leaves_the_balance_with_the_account(
    container: Container, db: Database, vera: Actor, bot: Actor, new_actor: NewActor
) -> None:
    ask(container, bot, "before the link", user_id=CHAT_ID)
    link(container, bot, vera)
    ask(container, bot, "while linked", user_id=CHAT_ID)
    (found,) = container.links.own(vera)
    for stranger in (new_actor(), ROOT):
        with pytest.raises(Forbidden):
            container.links.remove(stranger, found.id)
    container.links.remove(vera, found.id)
    assert container.links.own(vera) == []
    assert (wallet(container, vera)[0], balance(container, bot, CHAT_ID)) == (21_500 - 38 - 38, 0)
    with pytest.raises(InsufficientTokens):
        submit(container, bot, user_id=CHAT_ID)
    assert [message.content for message in container.contexts.get(bot, CHAT_ID)] == ["before the link", "pong"]
    with pytest.raises(NotFound):
        container.links.remove(vera, found.id)
    container.billing.top_up(bot, CHAT_ID, 500, None)
    assert ask(container, bot, user_id=CHAT_ID).account_id == bot.owner(CHAT_ID)
    check_money(db)


def test_after_a_removed_link_another_account_may_follow(
    container: Container, db: Database, vera: Actor, bot: Actor, new_actor: NewActor
) -> None:
    link(container, bot, vera)
    container.links.remove(vera, container.links.own(vera)[0].id)
    container.billing.top_up(bot, CHAT_ID, 70, None)
    ben = new_actor(30)
    assert link(container, bot, ben).wallet.available == 100
    container.links.remove(ben, container.links.own(ben)[0].id)
    assert link(container, bot, vera).moved_tokens == 0
    check_money(db)


def test_a_running_question_ends_where_it_began_when_its_link_is_removed(
    container: Container, db: Database, vera: Actor, bot: Actor
) -> None:
    link(container, bot, vera)
    job = submit(container, bot, user_id=CHAT_ID)
    container.links.remove(vera, container.links.own(vera)[0].id)
    container.run(job.id)
    assert container.jobs.get(bot, job.id).account_id == vera.account_id
    assert wallet(container, vera) == (21_500 - 38, 0)
    check_money(db)


def test_a_question_is_not_asked_again_on_an_account_that_ended_the_link(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    person, program = new_actor(100_000), program_of(new_key(container, new_actor()))
    container.billing.top_up(program, "42", 50_000, None)
    container.links.confirm(program, "42", container.links.issue(person).code)
    job = submit(container, program, "linked", user_id="42")
    claimed = MongoJobs().claim(job.id, "a worker", 30)
    container.jobs._money.settle(claimed, failed("INTERNAL_ERROR"), 20)
    container.links.remove(person, container.links.own(person)[0].id)
    before = wallet(container, person)

    with pytest.raises(ValidationFailed) as refused:
        container.admin.retry_job(ROOT, job.id)

    assert refused.value.details == {"jobId": ["link_ended"]}
    assert wallet(container, person) == before
    check_money(db)


def test_after_the_link_the_dialog_is_the_persons_alone(
    container: Container, db: Database, vera: Actor, bot: Actor, upstream: UpstreamControl
) -> None:
    link(container, bot, vera)
    job = ask(container, bot, user_id=CHAT_ID)
    track = container.tracks.create(bot, CHAT_ID, {"title": "track"})
    session_id, chat_id = job.session_id or "", job.chat_id or ""
    assert container.dialogs.session(bot, session_id).account_id == vera.account_id
    assert container.tracks.get(bot, track.id).account_id == vera.account_id
    container.links.remove(vera, container.links.own(vera)[0].id)
    ask(container, vera, "what nobody else is to read", chat_id=chat_id)
    for use in (
        lambda: container.dialogs.session(bot, session_id),
        lambda: container.dialogs.messages(bot, chat_id, None, 10),
        lambda: container.dialogs.rename(bot, session_id, "mine"),
        lambda: container.dialogs.add_chat(bot, session_id, "mine"),
        lambda: container.export.session(bot, session_id),
        lambda: container.erase.session(bot, session_id),
        lambda: container.tracks.read(bot, track.id),
        lambda: container.tracks.delete(bot, track.id),
    ):
        with pytest.raises(Forbidden):
            use()
    assert container.jobs.get(bot, job.id).id == job.id, "what the program asked itself"
    assert container.tracks.page(bot, CHAT_ID, TrackQuery())[0] == []
    link(container, bot, vera)
    assert container.dialogs.session(bot, session_id).id == session_id
