"""Everything done once that reads or writes the database: one `use_…` for each part of the service."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from pymongo.database import Database

from service.adapters.mongo import cursors
from service.adapters.mongo.catalog import MongoCatalog
from service.adapters.mongo.catalog_desk import MongoCatalogDesk
from service.adapters.mongo.jobs import MongoJobs
from service.adapters.mongo.ledger_audit import MongoLedgerAudit, Place
from service.adapters.mongo.modules import begin_module, store_lesson
from service.adapters.mongo.request_counts import MongoRequestCounts
from service.adapters.mongo.standing import MongoStanding
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.billing import Unit
from service.domain.dialogs import DialogStatus
from service.domain.errors import Unavailable
from service.domain.jobs import JobStatus
from service.domain.keys import Scope
from service.domain.payments import PaymentStatus, ProviderName, Refund, RefundStatus
from service.domain.plans import Plan
from service.domain.tracks import TrackStatus
from service.domain.webhooks import Delivery, DeliveryStatus
from service.usecases.accounts import Registration
from service.usecases.asking import NO_LINE, Line, Terms
from service.usecases.branches import Repeat
from service.usecases.classroom import Remark
from service.usecases.courses import LessonWish, PlanWish
from service.usecases.dialogs import SessionFilter
from service.usecases.keys import NewKey
from service.usecases.places import NewSession
from service.usecases.ports import CodeQuery, DeliveryQuery, JobQuery, KeyQuery, PaymentQuery, TrackQuery, UserQuery
from service.usecases.redeem import NewCodes
from service.usecases.tracks import TrackWithModules
from tests.core.paying import start, sweep
from tests.core.support import ROOT, ask, key, lose_worker, new_key, plan_of, program_of, submit, transactions
from tests.core.test_accounts import HERE, PASSWORD, actor_of, register

A_PAGE = 2
A_TIME = datetime(2026, 1, 15, 10, tzinfo=UTC)


def pages(fetch: Callable[[str | None], object]) -> None:
    """The first page and the next one."""
    page = fetch(None)
    assert page.next_cursor is not None, "too little data to turn a page"
    fetch(page.next_cursor)


def use_accounts(container: Container, anna: Actor) -> None:
    accounts = container.accounts
    guest = accounts.guest_login(address=HERE, locale=None)
    accounts.register(Registration(password=PASSWORD, username="guest-1"), address=HERE, guest=actor_of(guest))
    accounts.create_admin("root", PASSWORD)
    login = accounts.log_in("anna", PASSWORD, address=HERE)
    accounts.recognise(login.account.id, login.login.id, 0)
    login = accounts.refresh(login.account.id, login.login.id, login.login.refresh_id, 0)
    accounts.log_out(actor_of(login), everywhere=False)
    accounts.log_out(anna, everywhere=True)
    accounts.change_password(anna, PASSWORD, PASSWORD)
    accounts.me(anna)
    accounts.speak(anna, "fr")


def use_jobs(container: Container, db: Database, anna: Actor) -> None:
    jobs = [ask(container, anna) for _ in range(A_PAGE + 1)]
    ask(container, anna, context=())
    ask(container, anna, stream=True)
    container.completions.models()
    container.catalog.offer.assistants(anna)
    for _ in range(2):
        container.catalog.watch()
    container.catalog.desk.models(ROOT)
    # A version that nobody has: what is looked for is the same, and nothing changes.
    desk = MongoCatalogDesk(MongoCatalog("gpt-6-luna"), transactions())
    nobody = replace(desk.models()["gpt-6-luna"], version=99)
    for changes in ({"successor": None}, {"shutdown_on": None}):
        assert desk.change_model(nobody, changes, lambda _models: None) is None
    assert desk.change_assistant(replace(desk.assistants()["chat"], version=99), {"listed": False}) is None
    jobs.append(submit(container, anna, idempotency=key(anna)))
    submit(container, anna, idempotency=key(anna))
    lose_worker(container, db, jobs[-1])
    container.jobs.cancel(anna, jobs[-1].id)
    container.upkeep()
    again = submit(container, anna)
    lose_worker(container, db, again)
    container.upkeep()
    MongoJobs().hand_back(again)
    MongoJobs().renew([again.id], "nobody", 30)
    MongoJobs().cancel_requests([again.id])
    MongoJobs().finished([again.id])
    MongoJobs().count_open(anna.account_id, 5)
    MongoRequestCounts().add("2030-01-31", 1, {"NOT_FOUND": 1})
    MongoRequestCounts().since("2030-01-31")
    MongoJobs().newest_open(anna.account_id, "a chat")
    MongoJobs().due(A_PAGE, silent_seconds=30)
    MongoJobs().mark_announced([again.id])
    for status in (None, JobStatus.SUCCEEDED):
        pages(lambda cursor, s=status: container.jobs.page(anna, JobQuery(None, s, cursor, A_PAGE)))
        pages(lambda cursor, s=status: container.admin.jobs(ROOT, JobQuery(None, s, cursor, A_PAGE)))


def use_admin(container: Container, anna: Actor) -> None:
    admin, user_id = container.admin, anna.account_id
    admin.set_blocked(ROOT, user_id, True)
    admin.set_blocked(ROOT, user_id, False)
    admin.set_plan(ROOT, user_id, Plan.BASIC)
    admin.set_role(ROOT, user_id, Role.USER)
    admin.set_balance(ROOT, user_id, 1_000_000, "", None)
    admin.adjust_balance(ROOT, user_id, 1, "", key(ROOT))
    admin.adjust_balance(ROOT, user_id, 1, "", key(ROOT))
    container.contexts.save(ROOT, user_id, ())
    container.contexts.get(ROOT, user_id)
    admin.dialogs(ROOT, user_id, None, A_PAGE)
    admin.dialogs(ROOT, user_id, cursors.encode(datetime.now(UTC), "x"), A_PAGE)
    pages(lambda cursor: admin.ledger(ROOT, user_id)(cursor, A_PAGE))
    pages(lambda cursor: admin.audit_trail(ROOT, None, cursor, A_PAGE))
    pages(lambda cursor: admin.audit_trail(ROOT, user_id, cursor, A_PAGE))
    admin.overview(ROOT)
    sorts = ("created_at", "username", "last_seen_at", "balance")
    for text, role, sort, sign in product(("", "a"), (None, Role.USER), sorts, ("", "-")):
        admin.users(ROOT, UserQuery(text, role, f"{sign}{sort}", 1, A_PAGE))
    for role, blocked, plan, sort in product((None, Role.USER), (None, True, False), (None, "FREE"), sorts):
        admin.users(ROOT, UserQuery("", role, sort, 1, A_PAGE, blocked, plan))


def use_webhooks(container: Container, anna: Actor) -> None:
    webhooks, deliveries = container.webhooks, container.deliver._deliveries
    url = "https://example.com/"
    endpoint = webhooks.create(anna, {"url": url})
    webhooks.list(anna)
    webhooks.update(anna, endpoint.id, {"url": url})
    webhooks.rotate(anna, endpoint.id, 1)
    container.deliver._endpoints.disable(endpoint.id, "gone")
    webhooks.update(anna, endpoint.id, {"enabled": True})
    for _ in range(A_PAGE + 1):
        ask(container, anna, callback_url=url)
        webhooks.test(anna, endpoint.id, {})
    container.upkeep()
    assert deliveries.take_slot(endpoint.id, "a holder", 1, 30)
    deliveries.leave_slot(endpoint.id, "a holder")
    deliveries.progress(claimed(container, endpoint.id), 1, 30)
    deliveries.postpone(claimed(container, endpoint.id), 30, 500, "http_status")
    dead = claimed(container, endpoint.id)
    deliveries.finish(dead, DeliveryStatus.DEAD, None, "gone")
    webhooks.redeliver(anna, dead.id)
    for status in (None, DeliveryStatus.PENDING):
        pages(lambda cursor, s=status: webhooks.all_deliveries(ROOT, DeliveryQuery(None, None, s, cursor, A_PAGE)))
        of_account = DeliveryQuery(None, anna.account_id, status, None, A_PAGE)
        pages(lambda cursor, q=of_account: webhooks.all_deliveries(ROOT, replace(q, cursor=cursor)))
        of_endpoint = DeliveryQuery(None, None, status, None, A_PAGE)
        pages(lambda cursor, q=of_endpoint: webhooks.deliveries(anna, endpoint.id, replace(q, cursor=cursor)))
    webhooks.delete(anna, endpoint.id)


def use_standing(db: Database) -> None:
    standing = MongoStanding()
    standing.open_jobs()
    standing.waiting_deliveries()
    standing.overdue_delivery_seconds()
    standing.open_payments()
    standing.overdue_payment_seconds()
    standing.oldest_refund_seconds()
    standing.erasures()
    standing.loss_tokens()
    standing.idle_seconds("upkeep")
    # One that seems to be wrong is looked at more closely.
    rewrite = db.wallets.update_many
    rewrite({}, {"$inc": {"available": 1}})
    for kind in range(2):
        MongoLedgerAudit().check(Place(kind), A_PAGE)
    rewrite({}, {"$inc": {"available": -1}})


def claimed(container: Container, destination: str) -> Delivery:
    delivery = container.deliver._deliveries.claim(destination, 0)
    assert delivery is not None
    return delivery


def use_billing(container: Container, anna: Actor) -> None:
    container.billing.statement(anna, None)
    container.billing.ledger(anna, None)(None, A_PAGE)
    container.admin.adjust_credits(ROOT, anna.account_id, 3, "", None)
    for _ in range(6):
        ask(container, anna, assistant="coach")
    pages(lambda cursor: container.billing.ledger(anna, None, Unit.CREDITS)(cursor, A_PAGE))
    for group in ("day", "model"):
        container.billing.usage(anna, None, "2026-01-01", "2027-01-01", group)


def use_payments(container: Container, db: Database, anna: Actor) -> None:
    paying, payments = container.paying, container.paying.payments._payments
    started = [start(container, anna, key(anna, f"payment-{number}")) for number in range(A_PAGE + 2)]
    start(container, anna, key(anna, "payment-0"))
    pay, decline, flagged, waiting = started
    page = paying.test_payments
    assert page is not None
    for payment, paid in ((pay, True), (decline, False)):
        page.decide(payment.provider_id or "", pay=paid)
        paying.payments.notified(ProviderName.TEST, payment.provider_id or "", refund=False, address="")
    payments.close(decline.id)
    payments.flag(flagged.id, "another_amount")
    sweep(container, db)
    for status in (None, PaymentStatus.PENDING):
        pages(lambda cursor, s=status: paying.payments.page(anna, None, PaymentQuery(None, s, cursor, 1)))
        pages(lambda cursor, s=status: paying.desk.page(ROOT, PaymentQuery(None, s, cursor, 1)))
    refund = Refund(1, RefundStatus.PENDING, pay.tokens, "", "root", datetime.now(UTC))
    refunding = payments.begin_refund(paying.payments.get(anna, pay.id), refund, key(ROOT, "refund"))
    assert refunding is not None
    payments.refund_placed(refunding, "their-refund")
    again = payments.undo_refund(refunding)
    assert again is not None
    paying.desk.refund(ROOT, pay.id, "again", None)
    page.decide(waiting.provider_id or "", pay=True)
    paid_late = paying.desk.confirm(ROOT, waiting.id, "look again", None)
    payments.absorb_refund(paid_late, replace(refund, status=RefundStatus.SUCCEEDED))


def use_codes(container: Container, anna: Actor) -> None:
    codes = container.paying.redeem
    issued = codes.issue(ROOT, NewCodes(5, A_PAGE + 1, "", None))
    for _ in range(2):
        codes.redeem(anna, issued[0].secret, key(anna, "code"))
    codes.revoke(ROOT, issued[1].code.id)
    pages(lambda cursor: codes.page(ROOT, CodeQuery(None, cursor, A_PAGE)))
    pages(lambda cursor: codes.page(ROOT, CodeQuery(issued[0].code.batch_id, cursor, A_PAGE)))


def use_keys(container: Container, anna: Actor) -> None:
    keys = container.keys
    issued = [keys.create(anna, NewKey(name="program")) for _ in range(A_PAGE + 1)]
    keys.recognise(issued[0].secret)
    program = program_of(new_key(container, anna))
    container.billing.top_up(program, "4242", 10_000, None)
    for _ in range(A_PAGE + 1):
        ask(container, program, user_id="4242")
    for status in (None, JobStatus.SUCCEEDED):
        named = JobQuery("4242", status, None, A_PAGE)
        pages(lambda cursor, q=named: container.jobs.page(program, replace(q, cursor=cursor)))
    keys.own(anna)
    keys.rotate(anna, issued[0].key.id, timedelta(hours=1), None)
    pages(lambda cursor: keys.overview(ROOT, KeyQuery(None, cursor, A_PAGE)))
    pages(lambda cursor: keys.overview(ROOT, KeyQuery(anna.account_id, cursor, A_PAGE)))
    keys.grant(ROOT, issued[1].key.id, [Scope.BILLING_TOPUP])
    keys.change(anna, issued[1].key.id, {"name": "another"}, None)
    keys.revoke(anna, issued[1].key.id)
    keys.revoke_any(ROOT, issued[2].key.id)


def use_tracks(container: Container, db: Database, anna: Actor) -> None:
    tracks, store = container.tracks, container.tracks._tracks
    program = program_of(new_key(container, anna))
    made = [tracks.create(anna, None, {"title": "course"}) for _ in range(A_PAGE + 1)]
    tracks.create(program, "4242", {"title": "course"})
    for status, number in product((None, TrackStatus.ACTIVE), (1, 2)):
        tracks.page(anna, None, TrackQuery(status=status, page=number, limit=A_PAGE))
        tracks.page(program, "4242", TrackQuery(status=status, page=number, limit=A_PAGE))
    tracks.change(anna, made[0].id, {"title": "another"})
    first = tracks.adopt(anna, made[0].id, plan_of("a", "b")).modules[0]
    tracks.adopt(anna, made[0].id, plan_of("b", "a", "c"))
    tracks.adopt(anna, made[0].id, plan_of("a"))
    transactions = container.jobs._money._transactions
    transactions.run(lambda session: begin_module(session, first.id, "chat"))
    transactions.run(lambda session: store_lesson(session, first.id, first.lessons[0].id, {}))
    tracks.module(anna, first.id)
    tracks.complete(anna, first.id)
    tracks.read(anna, made[0].id, with_content=True)
    tracks.delete(anna, made[0].id)
    assert store.get(made[0].id) is None
    container.tutor.change(anna, None, {"language": "fr"})
    container.tutor.config(anna, None)
    use_learning(container, anna, tracks.adopt(anna, made[1].id, plan_of("a", "b")))


def use_learning(container: Container, anna: Actor, planned: TrackWithModules) -> None:
    courses, classroom, module = container.courses, container.classroom, planned.modules[0]
    terms, track_id = Terms(), planned.track.id
    jobs = [courses.welcome(anna, track_id, NO_LINE, terms)]
    container.run(jobs[0].id)
    line = Line(jobs[0].chat_id)
    jobs = [courses.plan(anna, PlanWish(line=line), terms), courses.finalize(anna, track_id, NO_LINE, terms)]
    jobs.append(courses.lesson(anna, LessonWish(module_id=module.id, lesson_id=module.lessons[0].id), terms))
    classroom.begin(anna, module.id, A_PAGE)
    jobs.append(classroom.respond(anna, Remark("ping", line), terms))
    jobs.append(classroom.say(anna, Remark("ping", module_id=module.id), terms))
    for job in jobs[::-1]:
        container.run(job.id)
    courses.adopt(anna, None, track_id, plan_of("b"))


def use_links(container: Container, anna: Actor) -> None:
    links, program = container.links, program_of(new_key(container, anna))
    container.billing.top_up(program, "4242", 10, None)
    links.confirm(program, "4242", links.issue(anna).code)
    submit(container, program, user_id="4242")
    container.contexts.get(program, "4242")
    for link in links.own(anna):
        links.remove(anna, link.id)


def use_dialogs(container: Container, anna: Actor) -> None:
    dialogs, program = container.dialogs, program_of(new_key(container, anna))
    track_id = container.tracks.create(anna, None, {"title": "course"}).id
    job = ask(container, anna, place=NewSession(track_id=track_id))
    session_id = job.session_id or ""
    for _ in range(A_PAGE + 1):
        ask(container, anna, chat_id=job.chat_id)
        dialogs.add_chat(anna, session_id, "more")
        dialogs.create(anna, None, "api", NewSession(track_id=track_id))
        dialogs.create(program, "4242", "api", NewSession())
    filters: list[dict[str, Any]] = [{}, {"status": DialogStatus.ACTIVE}, {"track_id": track_id}]
    for wanted in filters:
        pages(lambda cursor, w=wanted: dialogs.page(anna, SessionFilter(cursor=cursor, limit=A_PAGE, **w)))
    pages(lambda cursor: dialogs.page(program, SessionFilter("4242", cursor=cursor, limit=A_PAGE)))
    pages(lambda cursor: dialogs.messages(anna, session_id, cursor, A_PAGE))
    pages(lambda cursor: dialogs.chats(anna, session_id, cursor, A_PAGE))
    dialogs.totals(anna, None)
    dialogs.totals(program, "4242")
    dialogs.rename(anna, session_id, "renamed")
    dialogs.set_status(anna, session_id, DialogStatus.COMPLETED)
    chat = dialogs.set_chat_status(anna, session_id, DialogStatus.COMPLETED)
    dialogs._dialogs.visit(chat)
    message = dialogs._dialogs.message(f"{job.id}:assistant")
    assert message is not None
    dialogs._dialogs.siblings(chat.id, {message.parent_id, None})
    for repeated in (container.branches.regenerate, container.branches.regenerate):
        again = repeated(anna, message.id, Repeat(channel="api"))
        container.run(again.id)
        message = dialogs._dialogs.message(f"{again.id}:assistant") or message
    container.branches.select(anna, f"{job.id}:user")
    container.branches.select(anna, message.id)
    for page in (*container.export.line(chat), *container.export.everything(chat)):
        container.export._transcripts.everything(chat.id, page[0], A_PAGE)
    pages(lambda cursor: container.search(anna, None, "ping", cursor, A_PAGE))
    container.links.confirm(program, "4242", container.links.issue(anna).code)
    container.search(program, "4242", "ping", None, A_PAGE)


def use_erasing(container: Container, db: Database, anna: Actor) -> None:
    for track in [container.tracks.create(anna, None, {"title": "a track"}) for _ in range(2)]:
        ask(container, anna, place=NewSession(track_id=track.id))
    container.tracks.delete(anna, track.id)
    ask(container, anna)
    container.erase.session(anna, container.jobs.page(anna, JobQuery(limit=1)).items[0].session_id or "")
    ask(container, anna)
    earlier = datetime.now(UTC) - timedelta(hours=1)
    db.erasures.update_many({}, {"$set": {"created_at": earlier, "next_at": earlier}})
    container.upkeep()
    erasures = container.erase._erasures
    erasures.sessions_of_account(anna.account_id, A_PAGE)
    ask(container, anna, place=NewSession(track_id="c"))
    (session,) = erasures.sessions_of_track("c", A_PAGE)
    erasure = erasures.begin(session, "x")
    assert erasure is not None
    erasures.due_again(erasure, 0)
    linked, guest = new_key(container, anna), container.accounts.guest_login(address=HERE, locale=None)
    container.billing.top_up(program_of(linked), "77", 10, None)
    db.accounts.update_one({"_id": guest.account.id}, {"$set": {"expires_at": earlier}})
    bella = actor_of(register(container, "bella"))
    ask(container, bella)
    container.farewells.leave(bella, PASSWORD)
    container.erase.account(program_of(linked).key.end_user_id("77"))  # type: ignore[union-attr]
    with pytest.raises(Unavailable):
        container.billing.top_up(program_of(linked), "77", 10, None)
    back = program_of(new_key(container, actor_of(register(container, "carl"))))
    container.billing.top_up(back, "88", 10, None)
    container.erase.account(back.owner("88"))
    container.erase.account(anna.account_id)
    for _ in range(5):
        container.upkeep()
        db.erasures.update_many({}, {"$set": {"created_at": earlier, "next_at": earlier}})
    container.billing.top_up(back, "88", 10, None)
    assert db.accounts.count_documents({"_id": {"$in": [guest.account.id, bella.account_id, anna.account_id]}}) == 0
