"""What costs and what pays in the browser: once, however often it is tried, and in view."""

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from devstack.stack import Stack
from tests.browser.support import account_of, admin_token, ask, call, lose_the_answer, register, spend_everything

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def new_code(stack: Stack, tokens: int) -> str:
    body = {"tokens": tokens, "count": 1, "note": "browser"}
    reply = call(stack, "POST", "/api/admin/redeem-codes", token=admin_token(stack), json=body)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["codes"][0]["code"])


def test_the_ledger_is_saved_as_csv(page: Page, stack: Stack, tmp_path: Path) -> None:
    register(page)
    ask(page, "what does it cost")
    expect(page.get_by_test_id("answer")).to_be_visible()
    page.goto("/balance")
    expect(page.get_by_test_id("ledger")).to_contain_text("Answer")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download CSV").click()
    assert saved.value.suggested_filename == "ledger-tokens.csv"
    saved.value.save_as(tmp_path / "ledger.csv")
    rows = list(csv.DictReader((tmp_path / "ledger.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert {row["kind"] for row in rows} == {"signup", "hold", "final"}
    assert page.get_by_test_id("ledger").locator("tbody tr").count() == len(rows)


def test_a_code_is_redeemed_once_though_its_answer_was_lost(page: Page, stack: Stack) -> None:
    code = new_code(stack, 50_000)
    register(page)
    page.goto("/balance")
    expect(page.get_by_test_id("available")).to_have_text("3,000 tokens")
    keys = lose_the_answer(page, "/api/billing/redeem")
    page.get_by_role("textbox", name="Top-up code").fill(code.lower().replace("-", " "))
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("alert")).to_contain_text("The server can’t be reached")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("The code was accepted and the balance topped up")).to_be_visible()
    expect(page.get_by_test_id("available")).to_have_text("53,000 tokens")
    first, second = keys()
    assert first == second != ""
    # Once more it is another request, and refused.
    page.get_by_role("textbox", name="Top-up code").fill(code)
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("alert")).to_contain_text("used")
    assert keys()[2] != first
    expect(page.get_by_test_id("available")).to_have_text("53,000 tokens")


def test_a_payment_is_begun_once_though_its_answer_was_lost(page: Page, stack: Stack) -> None:
    name = register(page)
    page.goto("/balance")
    page.get_by_label("How many").fill("1000000")
    lose_the_answer(page, "/api/billing/topup")
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The server can’t be reached")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.locator("button[value=pay]").click()
    page.get_by_role("link").first.click()
    expect(page.get_by_test_id("payment-succeeded")).to_be_visible()
    expect(page.get_by_test_id("available")).to_have_text("1,003,000 tokens")
    assert stack.db.payments.count_documents({"account_id": account_of(stack, name)["_id"]}) == 1


def test_a_payment_that_is_declined_costs_nothing(page: Page) -> None:
    register(page)
    page.goto("/balance")
    page.get_by_label("How many").fill("1000000")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.locator("button[value=pay]").wait_for()
    # Back before it is decided: the page waits with them.
    page.goto("/balance")
    expect(page.get_by_test_id("payment-pending")).to_contain_text("Waiting for the payment")
    page.get_by_test_id("payment-pending").get_by_role("link", name="Go on to pay").click()
    page.locator("button:not([value=pay])").click()
    page.get_by_role("link").first.click()
    expect(page.get_by_text("The payment was cancelled: no money was taken")).to_be_visible()
    expect(page.get_by_test_id("available")).to_have_text("3,000 tokens")


def test_a_question_is_asked_once_though_its_answer_was_lost(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="only once", answer="Once.")
    register(page)
    keys = lose_the_answer(page, "/api/chat")
    ask(page, "ask only once")
    expect(page.get_by_role("alert")).to_contain_text("The server can’t be reached")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_test_id("answer")).to_contain_text("Once.")
    first, second = keys()
    assert first == second != ""
    assert len(stack.upstream.journal(contains="ask only once")) == 1
    assert page.get_by_test_id("question").count() == 1


def test_a_question_whose_fate_is_unknown_goes_on_after_a_reload(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="unknown fate", answer="Here I am.")
    register(page)
    lose_the_answer(page, "/api/chat")
    ask(page, "unknown fate")
    expect(page.get_by_role("alert")).to_contain_text("The server can’t be reached")
    page.reload()
    expect(page.get_by_test_id("answer")).to_contain_text("Here I am.")
    assert len(stack.upstream.journal(contains="unknown fate")) == 1


def test_a_question_waits_while_its_asker_pays(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="worth its price", answer="Worth it.")
    spend_everything(stack, register(page))
    ask(page, "is it worth its price")
    page.get_by_role("link", name="Top up the balance").click()
    page.get_by_label("How many").fill("1000000")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.locator("button[value=pay]").click()
    page.get_by_role("link").first.click()
    expect(page.get_by_test_id("payment-succeeded")).to_be_visible()
    page.get_by_role("link", name="Talkmeter").click()
    box = page.get_by_label("Message", exact=True)
    expect(box).to_have_value("is it worth its price")
    box.press("Enter")
    expect(page.get_by_test_id("answer")).to_contain_text("Worth it.")
    page.reload()
    expect(box).to_have_value("")
