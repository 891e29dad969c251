"""Who one is, in the browser: passwords, languages, guests, keys, and bots that are tied to an account."""

import pytest
from playwright.sync_api import Browser, Page, expect

from devstack.stack import Stack
from tests.browser.support import PASSWORD, account_of, ask, call, log_in, register

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
NEW_PASSWORD = "even longer"


def test_a_new_password_ends_the_other_sessions(page: Page, browser: Browser, stack: Stack) -> None:
    name = register(page)
    with browser.new_context(base_url=stack.web.url, locale="en-GB") as elsewhere:
        other = elsewhere.new_page()
        other.goto("/login")
        log_in(other, name)
        expect(other.get_by_label("Message", exact=True)).to_be_visible()
        page.goto("/account")
        page.get_by_label("Current password").fill("wrong one")
        page.get_by_label("New password").fill(NEW_PASSWORD)
        page.get_by_role("button", name="Change the password").click()
        expect(page.get_by_role("alert")).to_have_text("The current password is wrong")
        page.get_by_label("Current password").fill(PASSWORD)
        page.get_by_role("button", name="Change the password").click()
        expect(page.get_by_text("The password is changed")).to_be_visible()
        page.goto("/balance")
        expect(page.get_by_test_id("available")).to_be_visible()
        other.get_by_test_id("balance").click()
        expect(other.get_by_text("Your session has ended. Log in again.")).to_be_visible()
        log_in(other, name)
        expect(other.get_by_role("alert")).to_be_visible()
        log_in(other, name, NEW_PASSWORD)
        expect(other.get_by_test_id("available")).to_be_visible()


def test_a_bot_in_telegram_is_tied_to_the_account(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="from telegram", answer="Hello, Telegram.")
    register(page)
    page.goto("/keys")
    page.get_by_label("Name").fill("Telegram bot")
    page.get_by_role("button", name="Create").click()
    key = page.get_by_test_id("secret").inner_text()
    page.goto("/account")
    page.get_by_role("button", name="Get a code").click()
    expect(page.get_by_role("status").filter(has_text="works once")).to_contain_text("Your code")
    typed = {"userId": "4242", "code": page.get_by_test_id("secret").inner_text().lower().replace("-", " ")}
    confirmed = call(stack, "POST", "/api/link/confirm", key=key, json=typed)
    assert confirmed.status_code == 200, confirmed.text
    asked = call(stack, "POST", "/api/chat?wait=20", key=key, json={"message": "from telegram", "userId": "4242"})
    assert asked.ok, asked.text
    # The page, which is still open, learns of it.
    expect(page.get_by_text("“Telegram bot” is linked to the account now")).to_be_visible()
    expect(page.get_by_text("4242")).to_be_visible()
    expect(page.get_by_test_id("secret")).to_have_count(0)
    page.get_by_role("link", name="Talkmeter").click()
    page.get_by_test_id("session").first.click()
    expect(page.get_by_test_id("answer")).to_contain_text("Hello, Telegram.")
    page.goto("/account")
    page.get_by_role("button", name="Unlink").click()
    page.get_by_role("dialog").get_by_role("button", name="Unlink").click()
    expect(page.get_by_text("No bot is linked")).to_be_visible()
    stranger = call(stack, "GET", "/api/billing", key=key, params={"userId": "4242"}).json()
    assert stranger["currentBalance"] == 0


def test_a_key_is_shown_once_and_works_until_it_is_revoked(page: Page, stack: Stack) -> None:
    register(page)
    page.goto("/keys")
    page.get_by_label("Name").fill("my bot")
    page.get_by_role("button", name="Create").click()
    key = page.get_by_test_id("secret").inner_text()
    assert call(stack, "GET", "/api/billing", key=key).status_code == 200
    page.reload()
    expect(page.get_by_text(f"{key[:6]}")).to_be_visible()
    expect(page.get_by_test_id("secret")).to_have_count(0)
    assert key not in page.content()
    expect(page.get_by_text("Used")).to_be_visible()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert call(stack, "GET", "/api/billing", key=key).status_code == 200
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("No keys yet")).to_be_visible()
    assert call(stack, "GET", "/api/billing", key=key).status_code == 401


def test_a_key_is_replaced_when_it_is_said_twice(page: Page, stack: Stack) -> None:
    register(page)
    page.goto("/keys")
    page.get_by_label("Name").fill("my bot")
    page.get_by_role("button", name="Create").click()
    old = page.get_by_test_id("secret").inner_text()
    page.get_by_role("button", name="Replace").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The old one works for another day.")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("secret")).to_have_text(old)
    page.get_by_role("button", name="Replace").click()
    dialog.get_by_role("button", name="Replace").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("secret")).not_to_have_text(old)
    new = page.get_by_test_id("secret").inner_text()
    for key in (old, new):
        assert call(stack, "GET", "/api/billing", key=key).status_code == 200


def test_a_guest_who_registers_keeps_the_dialogs(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="as a guest", answer="Welcome, guest.")
    page.goto("/login")
    page.get_by_role("button", name="Try it without an account").click()
    ask(page, "as a guest")
    expect(page.get_by_test_id("answer")).to_contain_text("Welcome, guest.")
    page.get_by_role("button", name="Guest", exact=True).click()
    page.get_by_role("menuitem", name="Sign up").click()
    expect(page.get_by_role("heading", name="Keep this account")).to_be_visible()
    name = register(page)
    page.get_by_test_id("session").first.click()
    expect(page.get_by_test_id("answer")).to_contain_text("Welcome, guest.")
    page.goto("/account")
    expect(page.get_by_text(name, exact=True).last).to_be_visible()


def test_a_guest_is_asked_before_the_dialogs_are_out_of_reach(page: Page, stack: Stack) -> None:
    page.goto("/login")
    page.get_by_role("button", name="Try it without an account").click()
    menu = page.get_by_role("button", name="Guest", exact=True)
    menu.click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page.get_by_role("dialog")).to_contain_text("dialogs and balance will be out of reach")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(menu).to_be_focused()
    menu.click()
    page.get_by_role("menuitem", name="Log out").click()
    page.get_by_role("dialog").get_by_role("link", name="Sign up").click()
    expect(page.get_by_role("heading", name="Keep this account")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    menu.click()
    page.get_by_role("menuitem", name="Log out").click()
    page.get_by_role("dialog").get_by_role("button", name="Log out").click()
    # That page is open to all.
    expect(page.get_by_role("heading", name="Sign up")).to_be_visible()


def test_a_language_is_the_accounts_wherever_one_logs_in(page: Page, browser: Browser, stack: Stack) -> None:
    name = register(page)
    page.goto("/balance")
    page.get_by_role("button", name="Language").click()
    page.get_by_role("menuitemradio", name="Français").click()
    expect(page.get_by_role("heading", name="Solde")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Solde")).to_be_visible()
    # What the server says is in it too.
    page.get_by_role("textbox", name="Code de recharge").fill("nonsense")
    page.get_by_role("button", name="Appliquer").click()
    expect(page.get_by_role("alert")).to_contain_text("Vérifiez la saisie")
    with browser.new_context(base_url=stack.web.url, locale="en-GB") as elsewhere:
        other = elsewhere.new_page()
        other.goto("/login")
        log_in(other, name)
        expect(other.locator("html")).to_have_attribute("lang", "fr")
        other.goto("/balance")
        other.get_by_role("textbox", name="Code de recharge").fill("nonsense")
        other.get_by_role("button", name="Appliquer").click()
        expect(other.get_by_role("alert")).to_contain_text("Vérifiez la saisie")


def test_a_language_chosen_before_the_login_goes_along(page: Page, stack: Stack) -> None:
    name = register(page)
    page.get_by_role("button", name=name).click()
    page.get_by_role("menuitem", name="Log out").click()
    page.get_by_role("button", name="Language").click()
    page.get_by_role("menuitemradio", name="Русский").click()
    page.get_by_label("Имя пользователя или e-mail").fill(name)
    page.get_by_label("Пароль").fill(PASSWORD)
    with page.expect_response(lambda reply: reply.request.method == "PATCH" and reply.ok):
        page.get_by_role("button", name="Войти").click()
    expect(page.get_by_label("Сообщение", exact=True)).to_be_visible()
    account = stack.db.accounts.find_one({"username": name}) or {}
    assert account["locale"] == "ru"


def test_who_logs_in_as_somebody_else_is_that_somebody_in_every_tab(page: Page, stack: Stack) -> None:
    boris = register(page)
    page.get_by_role("button", name=boris).click()
    page.get_by_role("menuitem", name="Log out").click()
    anna = register(page)
    ask(page, "only for anna")
    expect(page.get_by_test_id("answer")).to_be_visible()
    other = page.context.new_page()
    other.goto("/login")
    log_in(other, boris)
    expect(other.get_by_label("Message", exact=True)).to_be_visible()
    # Without a touch of it.
    expect(page.get_by_role("button", name=boris)).to_be_visible()
    expect(page.get_by_test_id("answer")).to_have_count(0)
    expect(page.get_by_test_id("session")).to_have_count(0)
    page.goto("/chat")
    ask(page, "from boris")
    expect(page.get_by_test_id("answer")).to_be_visible()
    for name in (anna, boris):
        assert stack.db.jobs.count_documents({"account_id": account_of(stack, name)["_id"]}) == 1
