"""Whose credits they are: end users', those of whom they are linked to, and guests'."""

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Role
from service.domain.errors import AccountLinked, JobRunning, NoCredits, NotFound
from service.domain.jobs import Job, JobStatus
from service.domain.plans import Plan
from service.usecases.accounts import Registration
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.credits.support import REPETITIONS, ask, credits_of, give_extra, months, submit
from tests.core.support import ROOT, NewActor, at_once, kinds, new_key, program_of, spread
from tests.core.test_accounts import HERE, PASSWORD, actor_of


@pytest.mark.parametrize(("given", "monthly"), [(True, 5), (False, 0)])
def test_end_users_have_the_free_plans_credits_if_the_operator_says_so(
    build: Build, db: Database, new_actor: NewActor, given: bool, monthly: int
) -> None:
    container = build(end_user_credits=given)
    program = program_of(new_key(container, new_actor()))
    assert container.billing.credits(program, "4242").remaining == monthly
    if given:
        assert ask(container, program, user_id="4242").balance_after == 4
    else:
        with pytest.raises(NoCredits):
            submit(container, program, user_id="4242")
    end_user = container.billing.statement(program, "4242").account.id
    container.admin.set_plan(ROOT, end_user, Plan.BASIC)
    assert container.billing.credits(program, "4242").remaining == 50, "a plan that somebody gave them counts"
    check_money(db)


def test_a_link_takes_the_extra_credits_along(container: Container, db: Database, new_actor: NewActor) -> None:
    vera, program = new_actor(), program_of(new_key(container, new_actor()))
    end_user = container.billing.statement(program, "4242").account.id
    container.admin.adjust_credits(ROOT, end_user, 3, "paid", None)
    waiting = submit(container, program, user_id="4242")
    with pytest.raises(JobRunning):
        container.links.confirm(program, "4242", container.links.issue(vera).code)
    container.jobs.cancel(program, waiting.id)

    container.links.confirm(program, "4242", container.links.issue(vera).code)

    assert (credits_of(container, vera).remaining, credits_of(container, vera).extra) == (8, 3)
    assert ask(container, program, user_id="4242").wallet_id == f"{vera.account_id}:credits"
    assert container.billing.credits(program, "4242").remaining == 7
    for refused in (
        lambda: container.admin.set_plan(ROOT, end_user, Plan.BASIC),
        lambda: container.admin.adjust_credits(ROOT, end_user, 1, "", None),
    ):
        with pytest.raises(AccountLinked):
            refused()
    (link,) = container.links.own(vera)
    container.links.remove(vera, link.id)
    assert container.billing.credits(program, "4242").remaining == 5, "its own month again, without what went away"
    submit(container, program, user_id="4242")
    check_money(db)


def test_a_question_without_a_hold_is_answered_though_its_account_is_linked_meanwhile(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    vera, program = new_actor(), program_of(new_key(container, new_actor()))
    end_user = container.billing.statement(program, "4242").account.id
    container.admin.set_plan(ROOT, end_user, Plan.PREMIUM)
    waiting = submit(container, program, user_id="4242")
    container.links.confirm(program, "4242", container.links.issue(vera).code)

    container.run(waiting.id)

    done = container.jobs.get(ROOT, waiting.id)
    assert (done.status, done.charged, done.wallet_id) == (JobStatus.SUCCEEDED, 0, f"{end_user}:credits")
    assert credits_of(container, vera).remaining == 5
    check_money(db)


@pytest.mark.parametrize("repetition", range(REPETITIONS))
def test_nobody_asks_on_a_wallet_that_is_linked_meanwhile(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor, repetition: int
) -> None:
    vera, program = new_actor(), program_of(new_key(container, new_actor()))
    end_user = container.billing.statement(program, "4242").account.id
    code = container.links.issue(vera).code

    def link(process: Container) -> object:
        return process.links.confirm(program, "4242", code)

    results = at_once([*spread(link, processes, 1), *spread(submit, processes, 4, program, user_id="4242")])

    linked = db.accounts.find_one({"_id": end_user})["linked_account_id"] is not None
    assert set(kinds(results)) <= {"Confirmed", "Job", "JobRunning"}
    own = [job for job in results if isinstance(job, Job) and job.account_id == end_user]
    assert not (linked and own), "asked on its own wallet, and linked while that ran"
    check_money(db)


def test_an_account_that_does_not_exist_has_no_credits(container: Container, db: Database) -> None:
    with pytest.raises(NotFound):
        submit(container, ROOT, user_id="nobody")
    with pytest.raises(NotFound):
        container.admin.adjust_credits(ROOT, "nobody", 1, "", None)
    assert db.credits.count_documents({}) == 0
    check_money(db)


def test_guests_have_credits_that_they_keep_when_they_register(
    container: Container, db: Database, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    guest = actor_of(container.accounts.guest_login(address=HERE, locale=None))
    assert ask(container, guest).balance_after == 4
    give_extra(container, guest, 2)
    registered = container.accounts.register(
        Registration(password=PASSWORD, username="anna"), address=HERE, guest=guest
    )
    assert registered.account.role is Role.USER
    assert (credits_of(container, guest).monthly, credits_of(container, guest).extra) == (4, 2)
    assert [kind for kind, _ in months(db, guest)] == ["grant"]
    check_money(db)
