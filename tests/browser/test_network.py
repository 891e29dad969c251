"""Answers that are being written, while the network goes and comes back."""

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from devstack.stack import Stack
from tests.browser.support import LONG, ask, register

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
