"""Links: a bot's end user and an account become one, with every token, and the bot sees no more than before."""

from itertools import pairwise

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.chat import ChatMessage
from service.domain.errors import AccountBlocked, AccountLinked, Forbidden, JobRunning, ValidationFailed
from service.usecases.ports import IdempotencyKey, JobQuery
from tests.core.checker import check_money
from tests.core.links.support import CHAT_ID, balance, code_of, link
from tests.core.support import ROOT, NewActor, ask, new_key, program_of, submit, wallet


def test_the_wallets_become_one_with_two_entries_of_one_cause(
    container: Container, db: Database, vera: Actor, bot: Actor
) -> None:
    confirmed = link(container, bot, vera)
    assert (confirmed.moved_tokens, confirmed.wallet.available) == (1_500, 21_500)
    entries = list(db.ledger.find({"kind": "link"}))
    assert {(entry["account_id"], entry["amount"]) for entry in entries} == {
        (vera.account_id, 1_500),
        (bot.owner(CHAT_ID), -1_500),
    }
    assert len({entry["reason"] for entry in entries}) == 1
    assert {entry["actor_id"] for entry in entries} == {bot.record_id}
    assert db.wallets.find_one({"_id": bot.owner(CHAT_ID)})["available"] == 0
    assert balance(container, bot, CHAT_ID) == wallet(container, vera)[0] == 21_500
    check_money(db)


def test_later_questions_are_the_accounts(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    link(container, bot, vera)
    job = ask(container, bot, user_id=CHAT_ID)
    assert (job.account_id, job.external_user_id, job.charged) == (vera.account_id, CHAT_ID, 38)
    assert wallet(container, vera) == (21_500 - 38, 0)
    assert container.jobs.get(vera, job.id).id == job.id
    assert container.jobs.get(bot, job.id).id == job.id
    assert [each.id for each in container.jobs.page(vera, JobQuery()).items] == [job.id]
    check_money(db)


def test_the_dialog_goes_on_and_is_the_accounts_but_not_the_webs(
    container: Container, db: Database, vera: Actor, bot: Actor, upstream: UpstreamControl
) -> None:
    ask(container, vera, "my secret is tamarisk")
    ask(container, bot, "asked before the link", user_id=CHAT_ID)
    link(container, bot, vera)
    job = ask(container, bot, "asked after the link", user_id=CHAT_ID)
    assert [message.content for message in job.prompt[1:]] == [
        "asked before the link",
        "pong",
        "asked after the link",
    ]
    assert [message.content for message in container.contexts.get(bot, CHAT_ID)][-2:] == [
        "asked after the link",
        "pong",
    ]
    assert [message.content for message in container.contexts.get(vera, None)] == ["my secret is tamarisk", "pong"]
    dialogs = container.admin.dialogs(ROOT, vera.account_id, None, 10).items
    assert {dialog.messages[0].content for dialog in dialogs} == {"my secret is tamarisk", "asked after the link"}
    container.contexts.reset(bot, CHAT_ID)
    assert container.contexts.get(bot, CHAT_ID) == ()
    assert len(container.contexts.get(vera, None)) == 2


def test_the_bot_reaches_nothing_else_of_the_person(
    container: Container, db: Database, vera: Actor, bot: Actor, owner: Actor
) -> None:
    private = ask(container, vera, "my secret is tamarisk")
    before = ask(container, bot, user_id=CHAT_ID)
    link(container, bot, vera)
    after = ask(container, bot, user_id=CHAT_ID)
    for use in (container.jobs.get, container.jobs.cancel):
        for actor in (bot, owner):
            with pytest.raises(Forbidden):
                use(actor, private.id)
    assert [job.id for job in container.jobs.page(bot, JobQuery(account_id=CHAT_ID)).items] == [after.id, before.id]
    amounts = [entry.amount for entry in container.billing.ledger(bot, CHAT_ID)(None, 10).items]
    assert amounts == [-(1_500 - 38), -before.charged, 0, 1_500]
    usage = container.billing.usage(bot, CHAT_ID, "2020-01-01", "2040-01-01", "model")
    assert sum(row.jobs for row in usage) == 1
    statement = container.billing.statement(bot, CHAT_ID)
    assert (statement.account.external_id, statement.account.username) == (CHAT_ID, None)
    for name in (vera.account_id, db.accounts.find_one({"_id": bot.owner(CHAT_ID)})["link_id"]):
        assert container.billing.statement(bot, name).wallet.account_id == bot.owner(name) != vera.account_id


def test_a_linked_question_is_the_bots_and_the_persons_and_nobody_elses(
    container: Container, vera: Actor, owner: Actor, bot: Actor
) -> None:
    link(container, bot, vera)
    job = ask(container, bot, user_id=CHAT_ID)
    assert bot.name_of(job.account_id, job.external_user_id, job.end_user_id) == CHAT_ID
    for actor in (owner, program_of(new_key(container, owner)), program_of(new_key(container, vera))):
        if actor.account_id == vera.account_id:
            assert container.jobs.get(actor, job.id).id == job.id
            # Another bot's name for its user means nothing to a program of hers.
            assert actor.name_of(job.account_id, job.external_user_id, job.end_user_id) == vera.account_id
        else:
            with pytest.raises(Forbidden):
                container.jobs.get(actor, job.id)


def test_the_same_again_changes_nothing(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    container.links.confirm(bot, CHAT_ID, code)
    state = list(db.ledger.find()), list(db.accounts.find({"role": "end_user"}))
    again = container.links.confirm(bot, CHAT_ID, code)
    assert (again.moved_tokens, again.wallet.available) == (0, 21_500)
    assert link(container, bot, vera).moved_tokens == 0
    assert (list(db.ledger.find()), list(db.accounts.find({"role": "end_user"}))) == state
    check_money(db)


def test_one_account_may_have_several_bots(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    other = program_of(new_key(container, vera, name="another"))
    link(container, bot, vera)
    link(container, other, vera, "7")
    assert {(each.external_id, each.name) for each in container.links.own(vera)} == {
        (CHAT_ID, "program"),
        ("7", "another"),
    }
    assert balance(container, bot, CHAT_ID) == balance(container, other, "7") == 21_500
    check_money(db)


def test_linked_elsewhere_is_a_conflict(
    container: Container, db: Database, vera: Actor, bot: Actor, new_actor: NewActor
) -> None:
    link(container, bot, vera)
    ben = new_actor(1)
    with pytest.raises(AccountLinked):
        link(container, bot, ben)
    assert (wallet(container, ben), wallet(container, vera)) == ((1, 0), (21_500, 0))
    assert container.links.own(ben) == []
    check_money(db)


def test_while_a_question_is_open_the_link_waits(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    job = submit(container, bot, user_id=CHAT_ID)
    with pytest.raises(JobRunning):
        container.links.confirm(bot, CHAT_ID, code)
    assert container.links.own(vera) == []
    container.run(job.id)
    assert container.links.confirm(bot, CHAT_ID, code).moved_tokens == 1_500 - 38
    check_money(db)


def test_who_may_not(container: Container, vera: Actor, owner: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    with pytest.raises(Forbidden):
        container.links.confirm(vera, CHAT_ID, code)
    for actor, user_id in ((vera, vera.account_id), (ROOT, bot.owner(CHAT_ID)), (bot, owner.account_id)):
        with pytest.raises(ValidationFailed):
            container.links.confirm(actor, user_id, code)
    with pytest.raises(Forbidden):
        container.links.issue(Actor(account_id=vera.account_id, role=Role.GUEST, request_id="x"))


def test_a_blocked_account_pays_for_no_bot(container: Container, vera: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    container.admin.set_blocked(ROOT, vera.account_id, True)
    with pytest.raises(AccountBlocked):
        container.links.confirm(bot, CHAT_ID, code)
    container.admin.set_blocked(ROOT, vera.account_id, False)
    container.links.confirm(bot, CHAT_ID, code)
    container.admin.set_blocked(ROOT, vera.account_id, True)
    for use in (
        lambda: submit(container, bot, user_id=CHAT_ID),
        lambda: container.contexts.get(bot, CHAT_ID),
        lambda: balance(container, bot, CHAT_ID),
    ):
        with pytest.raises(AccountBlocked):
            use()


def test_topping_up_a_linked_end_user_credits_the_account(
    container: Container, db: Database, vera: Actor, bot: Actor
) -> None:
    link(container, bot, vera)
    assert container.billing.top_up(bot, CHAT_ID, 500, None).available == 22_000
    assert wallet(container, vera) == (22_000, 0)
    # What an operator changes by the end user's own account would be out of everybody's reach.
    for change in (
        lambda: container.admin.adjust_balance(ROOT, bot.owner(CHAT_ID), 5, "", None),
        lambda: container.admin.set_balance(ROOT, bot.owner(CHAT_ID), 5, "", None),
        lambda: container.billing.top_up(ROOT, bot.owner(CHAT_ID), 5, None),
        lambda: submit(container, ROOT, user_id=bot.owner(CHAT_ID)),
    ):
        with pytest.raises(AccountLinked):
            change()
    check_money(db)


def test_an_idempotency_key_holds_across_the_link(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    once = IdempotencyKey(bot.owner(CHAT_ID), "update-1", "body")
    before = ask(container, bot, user_id=CHAT_ID, idempotency=once)
    link(container, bot, vera)
    assert submit(container, bot, user_id=CHAT_ID, idempotency=once).id == before.id
    assert wallet(container, vera) == (21_500 - 38, 0)


def test_an_empty_wallet_moves_nothing(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    assert link(container, bot, vera, "new").moved_tokens == 0
    assert db.ledger.count_documents({"kind": "link"}) == 0
    assert ask(container, bot, user_id="new").account_id == vera.account_id
    check_money(db)


def test_too_many_links_are_refused(
    container: Container, vera: Actor, bot: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.usecases.links.MAX_LINKS", 1)
    link(container, bot, vera)
    with pytest.raises(ValidationFailed):
        link(container, bot, vera, "another")


def test_a_context_saved_by_the_bot_stays_in_its_dialog(container: Container, vera: Actor, bot: Actor) -> None:
    link(container, bot, vera)
    container.contexts.save(vera, None, [ChatMessage("user", "on the web")])
    container.contexts.save(bot, CHAT_ID, [ChatMessage("user", "in the bot")])
    assert [message.content for message in container.contexts.get(vera, None)] == ["on the web"]
    assert [message.content for message in container.contexts.get(bot, CHAT_ID)] == ["in the bot"]


def test_links_are_listed_newest_first(container: Container, vera: Actor, bot: Actor) -> None:
    for name in ("a", "b", "c"):
        link(container, bot, vera, name)
    found = container.links.own(vera)
    assert [each.external_id for each in found] == ["c", "b", "a"]
    assert all(newer.linked_at >= older.linked_at for newer, older in pairwise(found))
