"""What admins do for people in the browser: deliveries, payments, jobs and assistants."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from devstack.stack import Stack
from tests.browser.support import LONG, account_of, ask, become, lose_the_answer, register
from tests.core.receivers import Receiver, receiving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def audited(stack: Stack, user_id: str, action: str) -> list[dict[str, Any]]:
    return list(stack.db.audit.find({"subject_id": user_id, "action": action}))


def decide(page: Page, action: str, reason: str) -> Locator:
    """Presses the only button of this name in the list and says why; the dialog."""
    page.get_by_role("button", name=action, exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name=action)).to_be_disabled()
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=action).click()
    return dialog


def order(page: Page, stack: Stack) -> str:
    """Somebody new orders a million tokens; their id."""
    name = register(page)
    page.goto("/balance")
    page.get_by_label("How many").fill("1000000")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.wait_for_url("**/pay/**")
    return str(account_of(stack, name)["_id"])


def test_a_webhook_is_sent_once_more(page: Page, elsewhere: Page, stack: Stack, receiver: Receiver) -> None:
    user_id = str(account_of(stack, register(elsewhere))["_id"])
    elsewhere.goto("/webhooks")
    elsewhere.get_by_label("Address").fill(receiver.url)
    elsewhere.get_by_role("button", name="Add", exact=True).click()
    elsewhere.get_by_role("button", name="Test", exact=True).click()
    expect(elsewhere.get_by_test_id("delivery")).to_contain_text("delivered")
    become(page, stack, "admin")
    page.goto(f"/admin/deliveries?userId={user_id}")
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("It is being sent again")).to_be_visible()
    elsewhere.reload()
    elsewhere.get_by_role("button", name="Deliveries").click()
    expect(elsewhere.get_by_test_id("delivery")).to_contain_text("· delivered ·")
    first, second = receiver.heard
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert len(audited(stack, user_id, "webhook.redeliver")) == 1


def test_a_payment_by_hand_is_confirmed_and_given_back(page: Page, elsewhere: Page, stack: Stack) -> None:
    user_id = order(elsewhere, stack)
    # As one is that nobody but an operator hears of.
    by_hand = {"provider": "manual", "next_check_at": datetime.now(UTC) + timedelta(days=30)}
    stack.db.payments.update_one({"account_id": user_id}, {"$set": by_hand})
    become(page, stack, "admin")
    page.goto(f"/admin/payments?userId={user_id}")
    keys = lose_the_answer(page, "/confirm")
    dialog = decide(page, "Confirm", "paid in cash")
    expect(dialog.get_by_role("alert")).to_contain_text("The server can’t be reached")
    dialog.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("The payment is confirmed")).to_be_visible()
    first, second = keys()
    assert first == second != ""
    elsewhere.goto("/balance")
    expect(elsewhere.get_by_test_id("available")).to_have_text("1,003,000 tokens")
    decide(page, "Refund", "changed their mind")
    expect(page.get_by_text("The refund has begun")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="changed their mind")).to_contain_text("refunded")
    elsewhere.reload()
    expect(elsewhere.get_by_test_id("available")).to_have_text("3,000 tokens")
    (confirmed,) = audited(stack, user_id, "payment.confirm")
    (refunded,) = audited(stack, user_id, "payment.refund")
    assert [each["details"]["reason"] for each in (confirmed, refunded)] == ["paid in cash", "changed their mind"]


def test_tokens_that_are_spent_are_not_paid_back(page: Page, elsewhere: Page, stack: Stack) -> None:
    user_id = order(elsewhere, stack)
    elsewhere.locator("button[value=pay]").click()
    elsewhere.get_by_role("link").first.click()
    expect(elsewhere.get_by_test_id("available")).to_have_text("1,003,000 tokens")
    stack.db.wallets.update_one({"_id": user_id}, {"$set": {"available": 999_999}})
    become(page, stack, "admin")
    page.goto(f"/admin/payments?userId={user_id}")
    dialog = decide(page, "Refund", "changed their mind")
    expect(dialog.get_by_role("alert")).to_be_visible()
    assert (stack.db.wallets.find_one({"_id": user_id}) or {})["available"] == 999_999
    # The keyboard is still in the dialog.
    expect(dialog.get_by_role("button", name="Refund")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Refund", exact=True)).to_be_visible()


def test_a_failed_job_is_asked_again(page: Page, elsewhere: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="second chance", times=1, status=400, error={"message": "no", "code": "bad"})
    stack.upstream.rule(contains="second chance", answer="Here it is.")
    user_id = str(account_of(stack, register(elsewhere))["_id"])
    ask(elsewhere, "a second chance")
    expect(elsewhere.get_by_role("alert")).to_be_visible()
    become(page, stack, "admin")
    page.goto(f"/admin/users/{user_id}/jobs")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Asked again, as a new job")).to_be_visible()
    elsewhere.reload()
    expect(elsewhere.get_by_test_id("answer")).to_contain_text("Here it is.")
    page.reload()
    expect(page.get_by_role("row").filter(has_text="succeeded")).to_have_count(1)
    # However often it is asked for, it is one.
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Asked again, as a new job")).to_be_visible()
    assert stack.db.jobs.count_documents({"account_id": user_id}) == 2


def test_a_running_job_is_cancelled(page: Page, elsewhere: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="endless", answer=LONG, hold="for ever", hold_after_chunks=3)
    user_id = str(account_of(stack, register(elsewhere))["_id"])
    ask(elsewhere, "an endless story")
    expect(elsewhere.get_by_test_id("stream")).to_contain_text("word")
    become(page, stack, "admin")
    page.goto(f"/admin/jobs?userId={user_id}&status=running")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_text("The job is being cancelled")).to_be_visible()
    # Whoever asked keeps what they saw.
    expect(elsewhere.get_by_test_id("answer")).to_contain_text("word")
    expect(elsewhere.get_by_role("button", name="Send")).to_be_visible()
    assert len(audited(stack, user_id, "job.cancel")) == 1


def test_an_assistant_gets_another_persona(page: Page, elsewhere: Page, stack: Stack) -> None:
    before = stack.db.assistants.find_one({"_id": "chat"}) or {}
    become(page, stack, "admin")
    page.goto("/admin/assistants")
    page.get_by_role("link", name="chat", exact=True).click()
    page.get_by_label("Persona").fill("You are a pirate.")
    page.get_by_label("Temperature").fill("3")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Temperature")).to_be_focused()
    page.get_by_label("Temperature").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="Saved")).to_be_visible()
    try:
        page.reload()
        expect(page.get_by_label("Persona")).to_have_value("You are a pirate.")
        register(elsewhere)
        ask(elsewhere, "who are you")
        expect(elsewhere.get_by_test_id("answer")).to_be_visible()
        (asked,) = stack.upstream.journal(contains="who are you")
        assert asked["body"]["messages"][0] == {"role": "system", "content": "You are a pirate."}
    finally:
        # The others on this stack ask it too.
        stack.db.assistants.replace_one({"_id": "chat"}, before)
