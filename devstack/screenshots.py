"""Pictures of the web UI: `python -m devstack.screenshots DIRECTORY README_DIRECTORY`.

Starts a whole stack with somebody who has a history, and takes every page but the admin panel in Russian, light and
dark, on a telephone and on a desk. The few that the README shows are written into its directory too.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from devstack.chromium import find_chromium
from devstack.demo import NAME, PASSWORD, UNFINISHED, Demo
from devstack.stack import Stack

THEMES = ("light", "dark")
SIZES = ((360, 740), (1440, 900))
# What the README shows: page, theme, width.
IN_README = {("dialog", "light", 1440), ("usage", "dark", 1440), ("dialog", "dark", 360), ("balance", "light", 360)}
# Nothing moves but the cursor of an answer that is being written.
STILL = "() => document.getAnimations().every(each => each.playState !== 'running' || each.animationName === 'blink')"


@dataclass(frozen=True)
class Shot:
    """A page to take, to its very end if `whole`. `prepare` does what comes before, `afterwards` undoes it."""

    name: str
    path: str
    prepare: Callable[[Page], None] = lambda page: None
    afterwards: Callable[[Page], None] = lambda page: None
    whole: bool = False
    logged_in: bool = True


def width_of(page: Page) -> int:
    return int(page.evaluate("window.innerWidth"))


def open_deliveries(page: Page) -> None:
    page.get_by_role("button", name="Доставки").first.click()
    page.get_by_test_id("delivery").first.wait_for()


def fill_template(page: Page) -> None:
    page.get_by_label("Формат").select_option("template")


def open_menu(page: Page) -> None:
    page.get_by_role("button", name="Меню" if width_of(page) < 576 else "Вера").click()
    page.get_by_role("menuitem", name="Выйти").wait_for()


def open_dialogs(page: Page) -> None:
    if width_of(page) < 992:
        page.get_by_role("button", name="Диалоги").click()
        page.get_by_role("dialog").get_by_test_id("session").first.wait_for()


def ask_to_delete(page: Page) -> None:
    open_dialogs(page)
    page.get_by_role("button", name="Действия с диалогом").first.click()
    page.get_by_role("menuitem", name="Удалить").click()
    page.get_by_text("Удалить диалог?").wait_for()


def show_code(page: Page) -> None:
    page.get_by_role("button", name="Получить код").click()
    page.get_by_test_id("secret").wait_for()


def fail_to_redeem(page: Page) -> None:
    page.get_by_role("textbox", name="Код пополнения").fill("AAAA-BBBB")
    page.get_by_role("button", name="Применить").click()
    page.get_by_role("alert").wait_for()


def answer_half(page: Page) -> None:
    page.get_by_label("Сообщение", exact=True).fill(UNFINISHED)
    page.keyboard.press("Enter")
    page.get_by_test_id("stream").get_by_text("Поток").wait_for()


def forget_it(page: Page) -> None:
    """Its dialog, so that no other picture has it."""
    page.get_by_role("button", name="Остановить").click()
    page.get_by_test_id("answer").wait_for()
    ask_to_delete(page)
    page.get_by_role("dialog").get_by_role("button", name="Удалить").click()
    page.wait_for_url("**/chat")


def shots(demo: Demo) -> tuple[Shot, ...]:
    """Every page of people. Pages of operators belong at the end, each with a `Shot` of its own."""
    dialog = f"/chat/{demo.session_id}"
    return (
        Shot("login", "/login", logged_in=False),
        Shot("register", "/register", logged_in=False),
        Shot("empty", "/chat"),
        Shot("dialog", dialog),
        Shot("dialogs", dialog, open_dialogs),
        Shot("menu", dialog, open_menu),
        Shot("delete", dialog, ask_to_delete),
        Shot("stream", "/chat", answer_half, forget_it),
        Shot("balance", "/balance"),
        Shot("balance-whole", "/balance", whole=True),
        Shot("redeem-error", "/balance", fail_to_redeem),
        Shot("usage", "/usage"),
        Shot("usage-whole", "/usage", whole=True),
        Shot("account", "/account", show_code, whole=True),
        Shot("keys", "/keys", whole=True),
        Shot("webhooks", "/webhooks", open_deliveries, whole=True),
        Shot("webhook-template", "/webhooks", fill_template, whole=True),
        Shot("missing", "/chat/nowhere"),
    )


def log_in(page: Page) -> None:
    page.goto("/login")
    page.get_by_label("Имя пользователя").fill(NAME)
    page.get_by_label("Пароль").fill(PASSWORD)
    page.get_by_role("button", name="Войти").click()
    page.get_by_label("Сообщение", exact=True).wait_for()


def take(page: Page, shot: Shot, file: Path) -> None:
    page.goto(shot.path)
    page.locator("main h1").wait_for(state="attached")
    page.wait_for_load_state("networkidle")
    shot.prepare(page)
    # Menus and dialogs come in by an animation.
    page.wait_for_function(STILL)
    page.screenshot(path=file, full_page=shot.whole, animations="disabled", caret="hide")
    shot.afterwards(page)


@contextmanager
def opened(browser: Browser, stack: Stack, theme: str, size: tuple[int, int]) -> Iterator[Page]:
    width, height = size
    with browser.new_context(
        base_url=stack.web.url,
        locale="ru-RU",
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
    ) as context:
        yield context.new_page()


def take_all(browser: Browser, stack: Stack, demo: Demo, directory: Path) -> Iterator[tuple[str, str, int, Path]]:
    """Page, theme, width and file of each picture."""
    for theme, size in product(THEMES, SIZES):
        with opened(browser, stack, theme, size) as page:
            for shot in sorted(shots(demo), key=lambda each: each.logged_in):
                if shot.logged_in and page.evaluate("localStorage.getItem('talkmeter.refresh')") is None:
                    log_in(page)
                file = directory / f"{shot.name}-{theme}-{size[0]}.png"
                take(page, shot, file)
                yield shot.name, theme, size[0], file


def _stack(place: Path) -> Stack:
    stack = Stack(place, openai_standin="false")
    # Payers are sent to a page of it.
    stack.environment["public_url"] = stack.web.url
    return stack


def main(directory: Path, readme_directory: Path) -> None:
    executable = find_chromium()
    if executable is None:
        sys.exit("There is no Chromium here. As root: apt-get install chromium")
    for each in (directory, readme_directory):
        each.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, _stack(Path(place)) as stack:
        demo = Demo(stack)
        demo.prepare()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=executable, args=["--no-sandbox", "--lang=ru-RU"], env={**os.environ, "LANGUAGE": "ru"}
            )
            for name, theme, width, file in take_all(browser, stack, demo, directory):
                print(file)
                if (name, theme, width) in IN_README:
                    shutil.copy(file, readme_directory / file.name)
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
