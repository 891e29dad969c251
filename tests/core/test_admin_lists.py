"""The operators' lists: users, jobs, dialogs, the audit trail and the overview."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.adapters.mongo.accounts import MongoAccounts
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.errors import Forbidden, ValidationFailed
from service.domain.jobs import JobStatus
from service.domain.plans import Plan
from service.usecases.ports import JobQuery, Page, UserQuery
from tests.core.support import ROOT, NewActor, ask, at_once, set_balance, submit
from tests.core.test_accounts import HERE, actor_of, register


def walk(fetch: Callable[[str | None], Page[Any]]) -> Iterator[Any]:
    """The items of all pages."""
    cursor = None
    while True:
        page = fetch(cursor)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def names(container: Container, **query: Any) -> list[str | None]:
    users, total = container.admin.users(ROOT, UserQuery(**{"limit": 100, **query}))
    assert total >= len(users)
    return [user.account.username for user in users]


@pytest.fixture
def people(container: Container, db: Database) -> dict[str, Actor]:
    """Registered in this order; the balances in no order."""
    balances = {"anna": 30, "Bob": 10, "анна": 20, "carol": 10}
    found = {}
    for name, balance in balances.items():
        found[name] = actor_of(register(container, name, email=f"{'z' * len(found)}{name}@example.com"))
        set_balance(container, found[name], balance)
    return found


def test_users_are_listed_newest_first_with_their_balances(container: Container, people: dict[str, Actor]) -> None:
    users, total = container.admin.users(ROOT, UserQuery())
    assert total == 4
    shown = [(user.account.username, user.wallet.available) for user in users]
    assert shown == [("carol", 10), ("анна", 20), ("Bob", 10), ("anna", 30)]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("created_at", ["anna", "Bob", "анна", "carol"]),
        ("-created_at", ["carol", "анна", "Bob", "anna"]),
        ("username", ["Bob", "anna", "carol", "анна"]),
        ("-username", ["анна", "carol", "anna", "Bob"]),
    ],
)
def test_users_are_sorted(container: Container, people: dict[str, Actor], sort: str, expected: list[str]) -> None:
    assert names(container, sort=sort) == expected
    paged = [name for page in (1, 2) for name in names(container, sort=sort, page=page, limit=2)]
    assert paged == expected
    assert names(container, sort=sort, page=3, limit=2) == []


@pytest.mark.parametrize("sign", ["", "-"])
def test_users_are_sorted_by_balance_and_equal_ones_appear_once(
    container: Container, db: Database, people: dict[str, Actor], sign: str, upstream: UpstreamControl
) -> None:
    upstream.rule(usage={"prompt_tokens": 10**6, "completion_tokens": 10**6})
    set_balance(container, people["anna"], 5_000)
    ask(container, people["anna"])  # opens the account of losses, which is nobody's
    users = [
        user
        for page in (1, 2, 3)
        for user in container.admin.users(ROOT, UserQuery(sort=f"{sign}balance", page=page, limit=2))[0]
    ]
    balances = [user.wallet.available for user in users]
    assert balances == sorted(balances, reverse=sign == "-")
    assert sorted(user.account.id for user in users) == sorted(actor.account_id for actor in people.values())


def test_users_are_sorted_by_their_last_visit(container: Container, db: Database, people: dict[str, Actor]) -> None:
    for age, name in enumerate(("carol", "anna")):
        seen = datetime.now(UTC) - timedelta(minutes=age)
        db.accounts.update_one({"_id": people[name].account_id}, {"$set": {"last_seen_at": seen}})
    assert names(container, sort="-last_seen_at")[:2] == ["carol", "anna"]


def test_users_are_found_by_the_beginning_of_a_name_or_email(
    container: Container, people: dict[str, Actor], subtests: pytest.Subtests
) -> None:
    found = {
        "an": {"anna"},
        "ANNA": {"anna"},
        "АН": {"анна"},
        "bob": {"Bob"},
        "zbob@": {"Bob"},
        "nna": set(),
        "b.b": set(),
        ".*": set(),
        "$ne": set(),
        "": {"anna", "Bob", "анна", "carol"},
    }
    for text, sort in product(found, ("-created_at", "balance")):
        with subtests.test(text, sort=sort):
            users, total = container.admin.users(ROOT, UserQuery(text=text, sort=sort))
            assert {user.account.username for user in users} == found[text]
            assert total == len(found[text])


def test_a_name_between_two_names_of_one_account_does_not_find_it(container: Container, db: Database) -> None:
    """One name of hers comes before it, and the other after."""
    register(container, "zoe", email="anna@example.com")
    assert names(container, text="bob") == []


def test_users_are_found_by_role(container: Container, people: dict[str, Actor]) -> None:
    container.accounts.guest_login(address=HERE, locale=None)
    container.accounts.create_admin("root", "long enough")
    assert names(container, role=Role.ADMIN) == ["root"]
    assert names(container, role=Role.GUEST) == [None]
    assert names(container, role=Role.USER, text="anna") == ["anna"]
    assert names(container, role=Role.ADMIN, text="anna") == []
    assert container.admin.users(ROOT, UserQuery(role=Role.USER, limit=1))[1] == 4


def test_lists_never_show_a_password_or_a_login(container: Container, people: dict[str, Actor]) -> None:
    for sort in ("created_at", "balance"):
        shown = repr(container.admin.users(ROOT, UserQuery(sort=sort)))
        assert "argon2" not in shown
        assert people["anna"].login_id not in shown


def test_jobs_are_listed_newest_first_by_status_and_owner(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    anna, bob = new_actor(1_000_000), new_actor(1_000_000)
    jobs = [submit(container, actor) for actor in (anna, bob, anna, bob, anna)]
    container.run(jobs[0].id)
    ids = [job.id for job in reversed(jobs)]

    def listed(actor: Actor, account_id: str | None, status: JobStatus | None) -> list[str]:
        read = container.admin.jobs if account_id is None else container.jobs.page
        return [job.id for job in walk(lambda cursor: read(actor, JobQuery(account_id, status, cursor, 2)))]

    assert listed(ROOT, None, None) == ids
    assert listed(ROOT, None, JobStatus.QUEUED) == ids[:4]
    assert listed(ROOT, None, JobStatus.FAILED) == []
    assert listed(anna, anna.account_id, None) == [ids[0], ids[2], ids[4]]
    assert listed(ROOT, bob.account_id, None) == [ids[1], ids[3]]
    assert listed(anna, anna.account_id, JobStatus.SUCCEEDED) == [jobs[0].id]
    assert [job.id for job in container.jobs.page(anna, JobQuery()).items] == [ids[0], ids[2], ids[4]]
    with pytest.raises(Forbidden):
        container.jobs.page(anna, JobQuery(account_id=bob.account_id))


def test_jobs_of_the_same_moment_appear_once(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(1_000_000)
    ids = [submit(container, actor).id for _ in range(7)]
    db.jobs.update_many({}, {"$set": {"created_at": datetime.now(UTC)}})
    listed = [job.id for job in walk(lambda cursor: container.jobs.page(actor, JobQuery(None, None, cursor, 2)))]
    assert listed == sorted(ids, reverse=True)


def test_a_job_is_its_owners_and_the_admins(container: Container, db: Database, new_actor: NewActor) -> None:
    owner = new_actor()
    job = submit(container, owner)
    for other in (new_actor(), new_actor(role=Role.GUEST), new_actor(role=Role.SUPPORT)):
        for act in (container.jobs.get, container.jobs.cancel):
            with pytest.raises(Forbidden):
                act(other, job.id)
    assert container.jobs.get(ROOT, job.id).id == job.id
    assert container.jobs.cancel(ROOT, job.id).status is JobStatus.CANCELLED


def test_dialogs_are_listed_in_pages_with_their_messages_in_order(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    upstream.rule(answer="pong")
    for number in range(3):
        ask(container, actor, f"question {number}")
    session = db.sessions.find_one({})
    for number in range(4):
        older = session["updated_at"] - timedelta(days=number // 2 + 1)
        db.sessions.insert_one({**session, "_id": f"older-{number}", "updated_at": older, "title": str(number)})

    dialogs = list(walk(lambda cursor: container.admin.dialogs(ROOT, actor.account_id, cursor, 2)))

    assert [dialog.session.id for dialog in dialogs] == [session["_id"], "older-1", "older-0", "older-3", "older-2"]
    said = [(message.role, message.content) for message in dialogs[0].messages]
    assert said == [(role, text) for n in range(3) for role, text in (("user", f"question {n}"), ("assistant", "pong"))]
    assert (dialogs[0].session.message_count, dialogs[1].messages) == (6, [])


def test_the_audit_trail_is_read_in_pages(container: Container, db: Database, new_actor: NewActor) -> None:
    first, second = new_actor().account_id, new_actor().account_id
    db.audit.delete_many({})
    for plan in Plan:
        for user_id in (first, second):
            container.admin.set_plan(ROOT, user_id, plan)
    db.audit.update_many({}, {"$set": {"created_at": datetime.now(UTC)}})

    everything = list(walk(lambda cursor: container.admin.audit_trail(ROOT, None, cursor, 2)))
    of_one = list(walk(lambda cursor: container.admin.audit_trail(ROOT, first, cursor, 2)))

    assert len({entry.id for entry in everything}) == len(everything) == 6
    assert {entry.id for entry in of_one} == {entry.id for entry in everything if entry.subject_id == first}


def test_the_overview_counts(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(contains="bad", status=400)
    upstream.rule(contains="dear", usage={"prompt_tokens": 10, "completion_tokens": 10**6})
    upstream.rule(usage={"prompt_tokens": 20, "completion_tokens": 18, "prompt_tokens_details": {"cached_tokens": 5}})
    actors = [new_actor(tokens) for tokens in (5_000, 10, 20, 90)]
    dear = ask(container, actors[0], "dear")
    set_balance(container, actors[0], 5_000)
    ask(container, actors[0], "good")
    ask(container, actors[0], "bad")
    running, _queued = submit(container, actors[0]), submit(container, actors[0])
    container.run._jobs.claim(running.id, "w", 30)
    set_balance(container, actors[0], 40)
    for seen, age in zip(actors, (0, 4, 6, 60), strict=True):
        minutes_ago = datetime.now(UTC) - timedelta(minutes=age)
        db.accounts.update_one({"_id": seen.account_id}, {"$set": {"last_seen_at": minutes_ago}})

    overview = container.admin.overview(ROOT)

    assert overview.jobs_open == {"queued": 1, "running": 1}
    figures = overview.figures
    assert figures.active_users == 2
    assert (figures.balance_mean, figures.balance_median) == (40.0, 30.0)
    (day,), (model,) = figures.days, figures.models
    assert (day.key, model.key) == (datetime.now(UTC).date().isoformat(), "gpt-6-luna")
    for sums in (day, model):
        assert (sums.jobs, sums.failed, sums.charged) == (3, 1, 38 + dear.charged)
        assert (sums.prompt_tokens, sums.cached_tokens, sums.completion_tokens) == (30, 5, 18 + 10**6)
        assert sums.total_tokens == 48 + 10**6


def test_accounts_are_not_paged_through_for_ever(container: Container, db: Database) -> None:
    assert container.admin.users(ROOT, UserQuery(page=100, limit=100)) == ([], 0)
    with pytest.raises(ValidationFailed) as refused:
        container.admin.users(ROOT, UserQuery(page=101, limit=100))
    assert refused.value.details == {"page": ["range:1:100"]}


def test_a_filtered_list_by_balance_is_the_same_for_few_and_for_many(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actors = [new_actor(tokens) for tokens in (30, 10, 20)]
    query = UserQuery(role=Role.USER, sort="-balance", limit=2)
    few = container.admin.users(ROOT, query)
    money = container.billing._money
    many = MongoAccounts(money._transactions, money, few_matches=1).search(query)
    assert many == few
    assert [row.account.id for row in few[0]] == [actors[0].account_id, actors[2].account_id]


def test_the_overview_of_nothing(container: Container, db: Database) -> None:
    overview = container.admin.overview(ROOT)
    assert overview.jobs_open == {"queued": 0, "running": 0}
    figures = overview.figures
    assert (figures.active_users, figures.balance_mean, figures.balance_median) == (0, 0.0, 0.0)
    assert figures.days == figures.models == []


def test_the_overview_shows_what_a_worker_measured_last(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor
) -> None:
    """However many accounts there are, it costs a few reads."""
    assert container.admin.overview(ROOT).figures.balance_median == 0
    new_actor(500)
    assert container.admin.overview(ROOT).figures.balance_median == 0

    assert at_once([process.figures for process in processes]).count(True) == 1

    measured = container.admin.overview(ROOT).figures
    assert (measured.balance_mean, measured.balance_median) == (500.0, 500.0)


def test_usage_is_ones_own_by_day_and_by_model(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor, other = new_actor(), new_actor()
    upstream.rule(usage={"prompt_tokens": 20, "completion_tokens": 18})
    ask(container, actor)
    ask(container, actor)
    ask(container, other)
    db.usage.insert_one({"_id": "old", "account_id": actor.account_id, "day": "2026-01-31", "model": "x", "jobs": 1})
    today = datetime.now(UTC).date().isoformat()

    def usage(first: str, last: str, group: str) -> list[tuple[str, int, int]]:
        return [
            (sums.key, sums.jobs, sums.charged) for sums in container.billing.usage(actor, None, first, last, group)
        ]

    assert usage("2026-01-01", today, "day") == [("2026-01-31", 1, 0), (today, 2, 76)]
    assert usage("2026-02-01", today, "day") == [(today, 2, 76)]
    assert usage("2026-01-31", today, "model") == [("gpt-6-luna", 2, 76), ("x", 1, 0)]
    assert usage("2027-01-01", "2027-01-02", "day") == []
    with pytest.raises(Forbidden):
        container.billing.usage(actor, other.account_id, "2026-01-01", today, "day")
