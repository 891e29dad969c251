"""Pages that hold still while they fill, and that a keyboard finds its way through, and back."""

import gzip
import re

import pytest
from playwright.sync_api import Page, expect

from devstack.stack import Stack
from service.api import ui
from tests.browser.support import LONG, ask, register, spend_everything
from tests.browser.test_quality import MAX_FIRST_LOAD_BYTES, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

# What moved without anybody having done something: Chromium adds it up as a page's layout shift.
WATCH = """() => {
  window.shifts = []
  new PerformanceObserver((list) => {
    for (const each of list.getEntries()) if (!each.hadRecentInput) window.shifts.push(each.value)
  }).observe({ type: 'layout-shift', buffered: false })
}"""
GOOD_SHIFT = 0.02
TO_END = "log.scrollHeight - log.scrollTop - log.clientHeight"


def test_nothing_jumps_while_an_answer_is_written(page: Page, stack: Stack) -> None:
    steady = f"# Title\n\n{LONG}\n\n```python\nprint(1)\n```\n\n- one\n- two\n\n{LONG}"
    stack.upstream.rule(contains="keep still", answer=steady, hold="still", hold_after_chunks=2)
    register(page)
    ask(page, "hello")
    expect(page.get_by_test_id("answer")).to_be_visible()
    ask(page, "keep still")
    expect(page.get_by_test_id("stream")).to_be_visible()
    composer = page.locator(".composer")
    before, question = composer.bounding_box(), page.get_by_text("keep still").last.bounding_box()
    assert before is not None
    assert question is not None
    page.evaluate(WATCH)
    stack.upstream.release("still")
    expect(page.get_by_test_id("answer")).to_have_count(2)
    expect(page.get_by_test_id("turn")).to_have_count(0)
    assert composer.bounding_box() == before
    # It has scrolled up as the answer grew, and not sideways.
    after = page.get_by_test_id("question").last.bounding_box()
    assert after is not None
    assert after["y"] < question["y"]
    assert sum(page.evaluate("window.shifts")) < GOOD_SHIFT
    log = page.locator(".chat-log")
    assert log.evaluate(f"log => {TO_END}") < 2


def test_who_scrolls_up_to_read_is_left_there(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="read in peace", answer=f"{LONG}\n\n{LONG}", hold="peace", hold_after_chunks=250)
    register(page)
    page.set_viewport_size({"width": 360, "height": 500})
    ask(page, "read in peace")
    expect(page.get_by_test_id("stream")).to_contain_text("word199")
    log = page.locator(".chat-log")
    log.hover()
    page.mouse.wheel(0, -600)
    page.wait_for_function(f"() => {{ const log = document.querySelector('.chat-log'); return {TO_END} > 200 }}")
    place = log.evaluate("each => each.scrollTop")
    stack.upstream.release("peace")
    expect(page.get_by_test_id("answer")).to_be_visible()
    assert log.evaluate("each => each.scrollTop") == place


def test_the_menu_and_its_dialogs_are_used_with_the_keyboard(page: Page) -> None:
    register(page)
    ask(page, "hello")
    expect(page.get_by_test_id("answer")).to_be_visible()
    actions = page.get_by_role("button", name="Actions for the dialog")
    actions.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_hidden()
    expect(actions).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    # Tab stays inside, once the focus is there.
    page.wait_for_function("() => document.querySelector('[role=dialog]')?.contains(document.activeElement)")
    for _ in range(6):
        page.keyboard.press("Tab")
        assert dialog.evaluate("each => each.contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(actions).to_be_focused()


def test_a_dialog_gives_the_focus_back_to_what_opened_it(page: Page) -> None:
    register(page)
    page.goto("/account")
    button = page.get_by_role("button", name="Log out everywhere")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()


def test_dialogs_are_looked_after_on_a_telephone(page: Page) -> None:
    register(page)
    ask(page, "hello")
    expect(page.get_by_test_id("answer")).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 740})
    opener = page.get_by_role("button", name="Dialogs", exact=True)
    opener.click()
    page.get_by_role("button", name="Actions for the dialog").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Title").fill("On the way")
    page.get_by_role("button", name="Save").click()
    panel = page.get_by_role("dialog").filter(has=page.get_by_test_id("session"))
    expect(panel.get_by_test_id("session")).to_have_text("On the way")
    panel.get_by_role("button", name="Close").first.click()
    expect(panel).to_have_count(0)
    expect(opener).to_be_focused()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_what_opens_and_what_fails_can_be_read_aloud(page: Page, stack: Stack, colours: str) -> None:
    page.emulate_media(color_scheme="dark" if colours == "dark" else "light", reduced_motion="reduce")
    page.goto("/register")
    expect(page.locator("main h1")).to_be_visible()
    assert violations(page) == []
    name = register(page)
    ask(page, "hello")
    expect(page.get_by_test_id("answer")).to_be_visible()
    for menu in (name, "Language"):
        page.get_by_role("button", name=menu).click()
        expect(page.get_by_role("menu").filter(visible=True)).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Edit").click()
    assert violations(page) == []
    spend_everything(stack, name)
    page.reload()
    ask(page, "one more")
    expect(page.get_by_role("alert")).to_contain_text("Not enough tokens")
    assert violations(page) == []
    page.goto("/webhooks")
    page.get_by_label("Format").select_option("by a template")
    page.get_by_label("Address").fill("http://10.0.0.1/")
    page.get_by_label("Name of field 1").fill("answer")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".invalid-feedback")).to_be_visible()
    assert violations(page) == []
    page.goto("/keys")
    page.get_by_label("Name").fill("my bot")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_test_id("secret")).to_be_visible()
    assert violations(page) == []
    page.goto("/chat/nowhere")
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def test_the_entry_of_the_build_is_small() -> None:
    """Without a browser: the entry, and whatever it and its imports import at once."""
    index = (ui.BUILT / ui.INDEX).read_text(encoding="utf-8")
    waiting = re.findall(r'(?:src|href)="/assets/([^"]+\.js)"', index)
    sizes: dict[str, int] = {}
    while waiting:
        name = waiting.pop()
        if name in sizes:
            continue
        source = (ui.BUILT / "assets" / name).read_bytes()
        sizes[name] = len(gzip.compress(source))
        waiting += re.findall(r'(?:import|from)\s*"\./([\w.-]+\.js)"', source.decode())
    assert sizes
    assert sum(sizes.values()) < MAX_FIRST_LOAD_BYTES, sizes
