"""What operators do in the browser, what support can't, and that nothing which users say becomes a part of the page."""

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from devstack.stack import Stack
from tests.browser.support import EVIL, ask, become, register
from tests.browser.test_quality import assert_fits_and_can_be_read_aloud

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SECTIONS = ("ledger", "dialogs", "jobs", "keys", "payments", "deliveries", "audit")
CATALOG = ("/models", "/models/gpt-4o-mini", "/assistants", "/assistants/coach")
PAGES = ("", "/users", "/jobs", "/payments", "/codes", "/keys", "/deliveries", *CATALOG, "/audit")


def id_of(stack: Stack, name: str) -> str:
    account = stack.db.accounts.find_one({"username": name}) or {}
    return str(account["_id"])


def evil_person(page: Page, stack: Stack) -> str:
    """Somebody with markup in name, question, title, answer, error and key; the account's id."""
    stack.upstream.rule(contains="onerror", answer=EVIL)
    name = register(page)
    user_id = id_of(stack, name)
    stack.db.accounts.update_one({"_id": user_id}, {"$set": {"first_name": EVIL, "last_name": EVIL}})
    ask(page, EVIL)
    expect(page.get_by_test_id("answer")).to_contain_text("window.hacked")
    page.goto("/keys")
    page.get_by_label("Name").fill(EVIL[:100])
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_test_id("secret")).to_be_visible()
    page.goto("/balance")
    page.get_by_label("How many").fill("1000000")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.wait_for_url("**/pay/**")
    return user_id


def test_an_admin_changes_a_balance_and_its_owner_sees_it(
    page: Page, elsewhere: Page, stack: Stack, complaints: list[str]
) -> None:
    name = register(elsewhere)
    become(page, stack, "admin")
    page.goto("/chat")
    page.get_by_role("button", name="user-").click()
    page.get_by_role("menuitem", name="Admin").click()
    expect(page.get_by_test_id("figure-median")).to_be_visible()
    page.get_by_role("link", name="Users", exact=True).click()
    page.get_by_label("Beginning of a name").fill(name)
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 account found")).to_be_visible()
    # A reload keeps what was searched for.
    page.reload()
    page.get_by_role("link", name=name).click()
    expect(page.get_by_test_id("user-available")).to_have_text("3,000 tokens")
    page.get_by_label("By how many").fill("1234")
    expect(page.get_by_role("button", name="Save").first).to_be_disabled()
    page.get_by_label("Reason").fill("a present <b>")
    expect(page.get_by_text("it will be 4,234 tokens")).to_be_visible()
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_test_id("user-available")).to_have_text("4,234 tokens")
    elsewhere.goto("/balance")
    expect(elsewhere.get_by_test_id("available")).to_have_text("4,234 tokens")
    expect(elsewhere.get_by_test_id("ledger")).to_contain_text("a present <b>")
    assert complaints == []


def test_a_balance_that_moved_meanwhile_is_not_written_over(page: Page, elsewhere: Page, stack: Stack) -> None:
    user_id = id_of(stack, register(elsewhere))
    become(page, stack, "admin")
    page.goto(f"/admin/users/{user_id}")
    page.get_by_label("Set tokens").check()
    page.get_by_label("New balance").fill("9000")
    expect(page.get_by_role("button", name="Save").first).to_be_disabled()
    page.get_by_label("Reason").fill("a contract")
    stack.db.wallets.update_one({"_id": user_id}, {"$set": {"available": 2500}})
    save = page.get_by_role("button", name="Save").first
    save.click()
    expect(page.get_by_test_id("balance-changed")).to_contain_text("Now it is 2,500 tokens")
    expect(page.get_by_test_id("user-available")).to_have_text("2,500 tokens")
    save.click()
    expect(page.get_by_test_id("user-available")).to_have_text("9,000 tokens")
    assert (stack.db.wallets.find_one({"_id": user_id}) or {})["available"] == 9000


def test_who_reads_a_dialog_is_told_and_stands_in_the_audit_trail(page: Page, elsewhere: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="private", answer="between us")
    user_id = id_of(stack, register(elsewhere))
    ask(elsewhere, "something private")
    expect(elsewhere.get_by_test_id("answer")).to_contain_text("between us")
    operator_id = id_of(stack, become(page, stack, "support"))
    page.goto(f"/admin/users/{user_id}/dialogs")
    expect(page.get_by_text("Looking is recorded")).to_be_visible()
    seen = {"subject_id": user_id, "action": "dialogs.read"}
    assert stack.db.audit.count_documents(seen) == 0
    page.get_by_role("button", name="Open the dialogs").click()
    page.get_by_test_id("dialog").first.locator("summary").click()
    expect(page.get_by_test_id("dialog").first).to_contain_text("between us")
    assert stack.db.audit.count_documents(seen) == 1
    page.goto(f"/admin/audit?subjectId={user_id}")
    row = page.get_by_role("row").filter(has_text="Dialogs read")
    expect(row).to_contain_text(operator_id[:8])
    expect(row).to_contain_text(user_id[:8])


def test_support_sees_everything_and_changes_nothing(page: Page, elsewhere: Page, stack: Stack) -> None:
    user_id = evil_person(elsewhere, stack)
    become(page, stack, "support")
    for path in (*PAGES, f"/users/{user_id}", *(f"/users/{user_id}/{section}" for section in SECTIONS)):
        page.goto(f"/admin{path}")
        expect(page.get_by_test_id("read-only")).to_be_visible()
        page.wait_for_load_state("networkidle")
        named = [button.inner_text() for button in page.locator("main button:visible").all()]
        sorts = {"User", "Balance", "Created ▼", "Last seen"}
        harmless = {"Refresh", "Next", "Previous", "Show more", "Open the dialogs", "Open the ledger", *sorts}
        assert set(named) <= harmless, path
    # Were there a button, the server would refuse.
    refused = page.evaluate(
        """async (userId) => {
            const { token } = JSON.parse(sessionStorage.getItem('talkmeter.access'))
            const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
            const sent = { method: 'POST', headers, body: JSON.stringify({ delta: 1, reason: 'x' }) }
            return (await fetch(`/api/admin/user/${userId}/adjust`, sent)).status
        }""",
        user_id,
    )
    assert refused == 403


def test_others_are_told_that_the_panel_is_not_for_them(page: Page, stack: Stack) -> None:
    register(page)
    for path in ("/admin", "/admin/users"):
        page.goto(path)
        expect(page.get_by_role("heading", name="This section is not for you")).to_be_visible()
    page.get_by_role("button", name="user-").click()
    expect(page.get_by_role("menuitem", name="API keys")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Admin")).to_have_count(0)


def test_nothing_that_a_user_says_becomes_a_part_of_the_panel(
    page: Page, elsewhere: Page, stack: Stack, complaints: list[str]
) -> None:
    user_id = evil_person(elsewhere, stack)
    become(page, stack, "admin")
    fail_a_job(stack, user_id)
    said = {
        "/users": None,
        f"/users/{user_id}": "<img",
        f"/users/{user_id}/dialogs": "<script>window.hacked=1</script>",
        f"/users/{user_id}/keys": "<img",
        f"/users/{user_id}/jobs": "<img",
        f"/users/{user_id}/payments": None,
        f"/users/{user_id}/audit": None,
        "/jobs": "<img",
        "/keys": "<img",
        "/audit": None,
    }
    for path, text in said.items():
        page.goto(f"/admin{path}")
        page.wait_for_load_state("networkidle")
        if path.endswith("/dialogs"):
            page.get_by_role("button", name="Open the dialogs").click()
            page.get_by_test_id("dialog").first.locator("summary").click()
        if text is not None:
            expect(page.locator("main")).to_contain_text(text)
        assert page.locator("main").locator("img, script, [href^='javascript'], [onerror]").count() == 0, path
        assert page.evaluate("window.hacked") is None
    assert complaints == []


def fail_a_job(stack: Stack, user_id: str) -> None:
    """As if a model of an evil name had failed."""
    changes = {"status": "failed", "error_code": "UPSTREAM_ERROR", "model": EVIL}
    stack.db.jobs.update_one({"account_id": user_id}, {"$set": changes})


def test_people_are_blocked_given_plans_and_deleted(page: Page, elsewhere: Page, stack: Stack) -> None:
    name = register(elsewhere)
    become(page, stack, "admin")
    page.goto(f"/admin/users/{id_of(stack, name)}")
    page.get_by_label("Plan").select_option("BASIC")
    page.get_by_label("Plan").locator("xpath=ancestor::form").get_by_role("button", name="Save").click()
    page.get_by_role("dialog").get_by_role("button", name="Change the plan").click()
    expect(page.get_by_text("BASIC").first).to_be_visible()
    page.get_by_role("button", name="Block").click()
    page.get_by_role("dialog").get_by_role("button", name="Block").click()
    expect(page.get_by_text("blocked", exact=True)).to_be_visible()
    elsewhere.goto("/usage")
    expect(elsewhere.get_by_role("alert").or_(elsewhere.get_by_role("heading", name="Log in")).first).to_be_visible()
    page.get_by_role("button", name="Unblock").click()
    expect(page.get_by_text("blocked", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Delete the account").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the account").click()
    expect(page.get_by_role("heading", name="Users")).to_be_visible()
    assert stack.db.accounts.find_one({"username": name}) is None


def test_payments_codes_and_keys_are_looked_after(
    page: Page, elsewhere: Page, context: BrowserContext, stack: Stack
) -> None:
    user_id = evil_person(elsewhere, stack)
    become(page, stack, "admin")
    page.goto(f"/admin/payments?status=pending&userId={user_id}")
    page.get_by_role("button", name="Cancel payment").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel payment")).to_be_disabled()
    dialog.get_by_label("Reason").fill("asked by phone")
    dialog.get_by_role("button", name="Cancel payment").click()
    # It isn't among the pending ones any more.
    expect(page.get_by_text("No payments yet")).to_be_visible()
    page.goto(f"/admin/users/{user_id}/keys")
    page.get_by_role("button", name="Permissions").click()
    page.get_by_role("dialog").get_by_label("billing:topup").check()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_role("cell", name="billing:topup")).to_be_visible()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("revoked", exact=False).first).to_be_visible()
    page.goto("/admin/codes")
    page.get_by_label("How many codes").fill("3")
    page.get_by_label("Note").fill("=1+1")
    page.get_by_role("button", name="Make").click()
    codes = page.get_by_test_id("codes").inner_text().split()
    assert len(codes) == 3
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    saved = download.value.path().read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in saved] == ["code", *codes]
    assert all(line.endswith(",'=1+1") for line in saved[1:])
    page.get_by_role("button", name="Revoke").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("cell", name="revoked")).to_be_visible()


def test_a_models_price_is_changed_but_not_over_somebody_elses_change(
    page: Page, elsewhere: Page, stack: Stack, complaints: list[str]
) -> None:
    become(elsewhere, stack, "admin")
    become(page, stack, "admin")
    elsewhere.goto("/admin/models/gpt-5.4-mini")
    page.goto("/admin/models")
    expect(page.get_by_role("row").filter(has_text="gpt-4o-mini")).to_contain_text("it ends soon")
    page.get_by_role("link", name="gpt-5.4-mini").click()
    page.get_by_label("Answer", exact=True).fill("4000")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="Saved")).to_be_visible()
    elsewhere.get_by_label("Prompt", exact=True).fill("2000")
    elsewhere.get_by_role("button", name="Save").click()
    expect(elsewhere.get_by_test_id("stale")).to_be_visible()
    expect(elsewhere.get_by_label("Answer", exact=True)).to_have_value("4000")
    expect(elsewhere.get_by_label("Prompt", exact=True)).to_have_value("1000")
    page.goto("/admin/models")
    expect(page.get_by_role("row").filter(has_text="gpt-5.4-mini")).to_contain_text("1 / 1 / 4")
    page.goto("/admin/audit")
    expect(page.get_by_role("row").filter(has_text="Model changed").first).to_contain_text("gpt-5.4-mini")
    assert complaints == []


@pytest.mark.parametrize(("width", "colours"), [(360, "dark"), (1440, "light")])
def test_the_panel_fits_its_screen_and_can_be_read_aloud(
    page: Page, elsewhere: Page, stack: Stack, width: int, colours: str, complaints: list[str]
) -> None:
    user_id = evil_person(elsewhere, stack)
    page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    become(page, stack, "admin")
    for path in (*PAGES, f"/users/{user_id}", *(f"/users/{user_id}/{section}" for section in SECTIONS)):
        page.goto(f"/admin{path}")
        page.wait_for_load_state("networkidle")
        for name in ("Open the dialogs", "Open the ledger"):
            if page.get_by_role("button", name=name).count():
                page.get_by_role("button", name=name).click()
                page.wait_for_load_state("networkidle")
        assert_fits_and_can_be_read_aloud(page, width)
    if width == 360:
        page.get_by_role("button", name="Admin sections").click()
        expect(page.get_by_role("dialog").get_by_role("link", name="Audit trail")).to_be_visible()
        assert_fits_and_can_be_read_aloud(page, width)
        page.get_by_role("link", name="Audit trail").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_role("heading", name="Audit trail")).to_be_visible()
    assert complaints == []
