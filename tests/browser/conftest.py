"""A real Chromium on a real stack. Where there is no Chromium these tests are left out, loudly."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from devstack.chromium import find_chromium
from devstack.stack import Stack
from service.api import ui

ACTION_MILLISECONDS = 15_000
expect.set_options(timeout=ACTION_MILLISECONDS)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        reason = "NO CHROMIUM: THE BROWSER TESTS ARE LEFT OUT. As root: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stack(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Started once, with a small allowance, and the development provider of payments."""
    assert (ui.BUILT / ui.INDEX).is_file(), "the UI is not built: run `make setup`"
    stack = Stack(tmp_path_factory.mktemp("stack"), signup_tokens="3000", webhook_allowed_hosts="127.0.0.1")
    # Payers are sent to a page of it and back.
    stack.environment["public_url"] = stack.web.url
    with stack:
        yield stack


@pytest.fixture
def context(browser: Browser, stack: Stack) -> Iterator[BrowserContext]:
    stack.upstream.clear()
    # Without transitions: a colour that is still changing has too little contrast.
    with browser.new_context(
        base_url=stack.web.url, locale="en-GB", viewport={"width": 1280, "height": 800}, reduced_motion="reduce"
    ) as context:
        context.set_default_timeout(ACTION_MILLISECONDS)
        yield context
    stack.upstream.clear()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console complained of; the policy's violations are said there too."""
    return []


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Page:
    page = context.new_page()

    def heard(message: Any) -> None:
        # Answers that are errors are said by the browser too, and meant.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


@pytest.fixture
def elsewhere(browser: Browser, stack: Stack) -> Iterator[Page]:
    """Somebody else's browser."""
    with browser.new_context(base_url=stack.web.url, locale="en-GB") as context:
        context.set_default_timeout(ACTION_MILLISECONDS)
        yield context.new_page()
