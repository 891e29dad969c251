"""What holds on every page: it fits its screen, screen readers can read it, and its first load is small."""

import gzip
import re

import pytest
from playwright.sync_api import Page, Response, Route, expect

from devstack.parts import REPOSITORY
from devstack.stack import Stack
from service.api import ui
from tests.browser.support import ask, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

AXE = REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = ("/chat", "/balance", "/usage", "/account", "/keys", "/webhooks")
MAX_FIRST_LOAD_BYTES = 250_000


def violations(page: Page) -> list[str]:
    """What axe finds serious or worse, with where it is."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{each['id']}: {node['html']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def assert_fits_and_can_be_read_aloud(page: Page, width: int) -> None:
    expect(page.locator("main h1")).to_have_count(1)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is None or box["x"] + box["width"] <= width, button.inner_text()
    assert violations(page) == []


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_pages_fit_their_screen_and_can_be_read_aloud(
    page: Page, width: int, colours: str, complaints: list[str]
) -> None:
    page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/login")
    expect(page.locator("main h1")).to_have_count(1)
    assert violations(page) == []
    register(page)
    ask(page, "`code` and more")
    expect(page.get_by_test_id("answer")).to_be_visible()
    for path in PAGES:
        page.goto(path)
        assert_fits_and_can_be_read_aloud(page, width)
    assert complaints == []


@pytest.mark.parametrize("language", ["Русский", "English", "Français"])
def test_the_table_of_usage_fits_a_telephone(page: Page, language: str) -> None:
    figures = {"jobs": 12_345, "failed": 0, "promptTokens": 12_345_678, "completionTokens": 12_345_678}

    def answer(route: Route) -> None:
        key = "2024-01-15" if "group=day" in route.request.url else "gpt-5.6-sol-mini"
        route.fulfill(json={"success": True, "usage": [{"key": key, "charged": 123_456_789, **figures}]})

    page.route("**/api/billing/usage?*", answer)
    page.set_viewport_size({"width": 360, "height": 800})
    register(page)
    page.get_by_role("button", name="Language").click()
    with page.expect_response(lambda reply: reply.request.method == "PATCH" and reply.ok):
        page.get_by_role("menuitemradio", name=language).click()
    page.goto("/usage")
    box = page.get_by_role("region").filter(has=page.get_by_role("table"))
    for group, shown in (("day", "2024"), ("model", "gpt-5.6-sol-mini")):
        page.get_by_role("combobox").select_option(group)
        expect(box).to_contain_text(shown)
        assert box.evaluate("box => box.scrollWidth - box.clientWidth") == 0


def test_the_first_load_is_small(page: Page, stack: Stack) -> None:
    sizes: dict[str, int] = {}

    def heard(response: Response) -> None:
        name = re.sub(r".*/assets/", "", response.url)
        if name.endswith(".js"):
            sizes[name] = len(gzip.compress((ui.BUILT / "assets" / name).read_bytes()))

    page.on("response", heard)
    register(page)
    page.wait_for_load_state("networkidle")
    assert sizes
    assert not [name for name in sizes if "Chart" in name or "Admin" in name]
    assert sum(sizes.values()) < MAX_FIRST_LOAD_BYTES


def test_everything_is_done_with_the_keyboard(page: Page, stack: Stack) -> None:
    stack.upstream.rule(answer="by keyboard")
    register(page)
    expect(page.get_by_label("Message", exact=True)).to_be_visible()
    page.goto("/chat")
    expect(page.get_by_label("Message", exact=True)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_label("Message", exact=True).focus()
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("answer")).to_contain_text("by keyboard")
    expect(page.locator("section > [role=status]")).to_contain_text("by keyboard")
