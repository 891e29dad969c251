"""What people do in the browser, from registering to paying."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from devstack.stack import Stack
from tests.browser.support import EVIL, LONG, ask, log_in, register, spend_everything

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_a_question_is_answered_as_it_is_written(page: Page, stack: Stack, complaints: list[str]) -> None:
    stack.upstream.rule(
        contains="greet", answer="Hello **there**\n\n```python\nprint(1)\n```", hold="gate", hold_after_chunks=1
    )
    register(page)
    ask(page, "greet me")
    expect(page.get_by_test_id("stream")).to_contain_text("Hello")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    stack.upstream.release("gate")
    answer = page.get_by_test_id("answer")
    expect(answer.locator("strong")).to_have_text("there")
    expect(answer.locator("pre")).to_have_text("print(1)\n")
    expect(answer.get_by_role("button", name="Copy").first).to_be_visible()
    expect(page.get_by_test_id("turn")).to_have_count(0)
    expect(page.get_by_test_id("session").first).to_contain_text("greet me")
    expect(page.get_by_test_id("balance")).not_to_contain_text("3,000 tokens")
    assert complaints == []


def test_an_answer_is_stopped_and_what_was_shown_stays(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="endless", answer=LONG, hold="never", hold_after_chunks=3)
    register(page)
    ask(page, "an endless story")
    expect(page.get_by_test_id("stream")).to_contain_text("word")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_test_id("answer")).to_contain_text("word")
    expect(page.get_by_test_id("turn")).to_have_count(0)
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_an_answer_goes_on_after_a_reload(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="reload", answer=LONG, hold="half", hold_after_chunks=3)
    register(page)
    ask(page, "reload in the middle")
    expect(page.get_by_test_id("stream")).to_contain_text("word0")
    page.reload()
    expect(page.get_by_test_id("stream")).to_contain_text("word0")
    expect(page.get_by_text("reload in the middle").last).to_be_visible()
    stack.upstream.release("half")
    expect(page.get_by_test_id("answer")).to_contain_text("word199")
    assert page.get_by_test_id("answer").locator(".markdown").inner_text() == LONG
    assert len(stack.upstream.journal(contains="reload in the middle")) == 1


def test_an_answer_goes_on_after_the_network_was_lost(page: Page, context: BrowserContext, stack: Stack) -> None:
    stack.upstream.rule(contains="offline", answer=LONG, hold="out", hold_after_chunks=3)
    register(page)
    ask(page, "offline in the middle")
    expect(page.get_by_test_id("stream")).to_contain_text("word0")
    # The process that serves the stream dies, so that the connection really breaks.
    stack.web.kill()
    expect(page.get_by_test_id("reconnecting")).to_be_visible()
    stack.upstream.release("out")
    stack.web.start()
    expect(page.get_by_test_id("answer")).to_contain_text("word199")
    assert page.get_by_test_id("answer").locator(".markdown").inner_text() == LONG


def test_who_has_spent_everything_pays_and_goes_on(page: Page, stack: Stack) -> None:
    name = register(page)
    spend_everything(stack, name)
    ask(page, "one more question")
    expect(page.get_by_role("alert")).to_contain_text("Not enough tokens")
    page.get_by_role("link", name="Top up the balance").click()
    page.get_by_label("How many").fill("1000000")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.locator("button[value=pay]").click()
    page.get_by_role("link").first.click()
    expect(page.get_by_test_id("available")).to_have_text("1,000,001 tokens")
    expect(page.get_by_test_id("ledger")).to_contain_text("1,000,000")
    page.goto("/chat")
    ask(page, "and now it works")
    expect(page.get_by_test_id("answer")).to_be_visible()


def test_nothing_that_somebody_says_becomes_a_page(page: Page, stack: Stack, complaints: list[str]) -> None:
    stack.upstream.rule(contains="onerror", answer=EVIL)
    register(page)
    ask(page, EVIL)
    answer = page.get_by_test_id("answer")
    expect(answer).to_contain_text("<script>window.hacked=1</script>")
    expect(page.get_by_test_id("question")).to_contain_text(EVIL)
    expect(page.get_by_test_id("session").first).to_contain_text("<img")
    assert answer.locator("img, script, [href^='javascript']").count() == 0
    assert page.evaluate("window.hacked") is None
    assert complaints == []


def test_questions_are_edited_and_answers_asked_for_again(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="first wording", answer="answer one", times=1)
    stack.upstream.rule(contains="first wording", answer="answer two")
    stack.upstream.rule(contains="second wording", answer="answer three")
    register(page)
    ask(page, "first wording")
    expect(page.get_by_test_id("answer")).to_contain_text("answer one")
    page.get_by_role("button", name="Another answer").click()
    expect(page.get_by_test_id("answer")).to_contain_text("answer two")
    page.get_by_role("button", name="Previous version").click()
    expect(page.get_by_test_id("answer")).to_contain_text("answer one")
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("textbox", name="Edit").fill("second wording")
    page.get_by_role("button", name="Ask again").click()
    expect(page.get_by_test_id("answer")).to_contain_text("answer three")
    expect(page.get_by_test_id("versions")).to_have_text(re.compile("2/2"))


def test_who_logs_out_everywhere_is_out_and_can_come_back(page: Page, context: BrowserContext, stack: Stack) -> None:
    name = register(page)
    other = context.new_page()
    other.goto("/account")
    expect(other.get_by_text(name, exact=True).last).to_be_visible()
    page.goto("/account")
    page.get_by_role("button", name="Log out everywhere").click()
    page.get_by_role("dialog").get_by_role("button", name="Log out everywhere").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    # The other tab learns it without asking.
    expect(other.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto("/keys")
    log_in(page, name)
    expect(page.get_by_role("heading", name="API keys")).to_be_visible()


def test_dialogs_are_renamed_found_and_deleted(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="giraffe", answer="Long necks.")
    register(page)
    ask(page, "tell me of the giraffe")
    expect(page.get_by_test_id("answer")).to_contain_text("Long necks")
    page.get_by_role("button", name="Actions for the dialog").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Title").fill("Animals <b>here</b>")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("session")).to_have_text("Animals <b>here</b>")
    page.get_by_label("Search the dialogs").fill("giraffe")
    page.keyboard.press("Enter")
    expect(page.get_by_role("navigation", name="Dialogs")).to_contain_text("Found: ")
    page.get_by_label("Search the dialogs").fill("")
    page.get_by_role("button", name="Actions for the dialog").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_test_id("session")).to_have_count(0)
    expect(page.get_by_text("What shall we talk about?")).to_be_visible()


def test_keys_webhooks_and_bots_are_looked_after(page: Page, stack: Stack) -> None:
    register(page)
    page.goto("/keys")
    page.get_by_label("Name").fill("my bot")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_test_id("secret")).to_contain_text("tm_")
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("No keys yet")).to_be_visible()
    page.goto("/webhooks")
    page.get_by_label("Address").fill("https://example.com/hook")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_test_id("secret")).to_contain_text("whsec_")
    page.get_by_role("button", name="Deliveries").click()
    expect(page.get_by_text("No deliveries yet")).to_be_visible()
    page.goto("/account")
    page.get_by_role("button", name="Get a code").click()
    expect(page.get_by_test_id("secret")).to_be_visible()


def test_an_address_that_is_not_there_is_said_to_be_none(page: Page) -> None:
    for path in ("/nothing", "/chat/one/two"):
        page.goto(path)
        expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    page.get_by_role("main").get_by_role("link").click()
    expect(page).to_have_url(re.compile("/login"))
