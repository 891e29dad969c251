"""Answers that are being written, while the network goes and comes back."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from devstack.stack import Stack
from tests.browser.support import LONG, ask, log_in, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def answer_of(page: Page) -> str:
    return page.get_by_test_id("answer").last.locator(".markdown").inner_text()


def test_an_answer_is_whole_though_the_network_was_lost_meanwhile(
    page: Page, context: BrowserContext, stack: Stack
) -> None:
    stack.upstream.rule(contains="in a tunnel", answer=LONG, hold="tunnel", hold_after_chunks=3)
    register(page)
    ask(page, "in a tunnel")
    expect(page.get_by_test_id("stream")).to_contain_text("word0")
    context.set_offline(True)
    stack.upstream.release("tunnel")
    stack.upstream.wait_for_calls(1, contains="in a tunnel", finished=True)
    context.set_offline(False)
    expect(page.get_by_test_id("answer")).to_contain_text("word199")
    assert answer_of(page) == LONG
    assert len(stack.upstream.journal(contains="in a tunnel")) == 1


def test_a_reload_without_a_network_finds_the_answer_later(page: Page, context: BrowserContext, stack: Stack) -> None:
    stack.upstream.rule(contains="twice lost", answer=LONG, hold="lost", hold_after_chunks=3)
    register(page)
    ask(page, "twice lost")
    expect(page.get_by_test_id("stream")).to_contain_text("word0")
    page.goto("/balance")
    expect(page.get_by_test_id("available")).to_be_visible()
    context.set_offline(True)
    page.get_by_role("link", name="Talkmeter").click()
    expect(page.get_by_role("alert")).to_contain_text("The server can’t be reached")
    stack.upstream.release("lost")
    context.set_offline(False)
    page.get_by_role("button", name="Try again").first.click()
    page.get_by_test_id("session").first.click()
    expect(page.get_by_test_id("answer")).to_contain_text("word199")
    assert answer_of(page) == LONG


def test_what_could_not_be_sent_is_not_lost(page: Page, context: BrowserContext, stack: Stack) -> None:
    stack.upstream.rule(contains="typed with care", answer="Read with care.")
    register(page)
    context.set_offline(True)
    ask(page, "typed with care")
    expect(page.get_by_role("alert")).to_contain_text("The server can’t be reached")
    box = page.get_by_label("Message", exact=True)
    expect(box).to_have_value("typed with care")
    context.set_offline(False)
    box.press("Enter")
    expect(page.get_by_test_id("answer")).to_contain_text("Read with care.")
    context.set_offline(True)
    ask(page, "typed with care again")
    expect(page.get_by_role("alert")).to_contain_text("The server can’t be reached")
    context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_test_id("answer")).to_have_count(2)
    assert len(stack.upstream.journal(contains="typed with care again")) == 1


def test_an_answer_is_seen_being_written_in_another_browser(page: Page, browser: Browser, stack: Stack) -> None:
    stack.upstream.rule(contains="seen elsewhere", answer=LONG, hold="elsewhere", hold_after_chunks=3)
    name = register(page)
    ask(page, "seen elsewhere")
    expect(page.get_by_test_id("stream")).to_contain_text("word0")
    with browser.new_context(base_url=stack.web.url, locale="en-GB") as context:
        other = context.new_page()
        other.goto(f"/login?next={urlsplit(page.url).path}")
        log_in(other, name)
        expect(other.get_by_test_id("stream")).to_contain_text("word0")
        expect(other.get_by_text("Asked in another window or device")).to_be_visible()
        expect(other.get_by_test_id("turn")).to_contain_text("seen elsewhere")
        # It can be stopped there, but nothing else can be asked meanwhile.
        expect(other.get_by_role("button", name="Stop")).to_be_visible()
        stack.upstream.release("elsewhere")
        expect(other.get_by_test_id("answer")).to_contain_text("word199")
        assert answer_of(other) == LONG
        expect(other.get_by_test_id("question")).to_contain_text("seen elsewhere")
    expect(page.get_by_test_id("answer")).to_contain_text("word199")
    assert len(stack.upstream.journal(contains="seen elsewhere")) == 1
