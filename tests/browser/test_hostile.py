"""What strangers and models write stays text, wherever it is shown."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from devstack.stack import Stack
from tests.browser.support import EVIL, PASSWORD, account_of, admin_token, ask, call, register, spend_everything

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

VECTORS = """
<svg/onload=window.hacked=1>
<iframe srcdoc="<script>parent.hacked=1</script>"></iframe>
<a href="javascript:window.hacked=1">x</a>
<button class="code-copy" onclick="window.hacked=1">x</button>
<form action="/api/auth/logout" method="post"><button>x</button></form>
<style>main { display: none }</style>
<base href="https://evil.example/">
[a](javascript:window.hacked=1) [b](JaVaScRiPt&colon;window.hacked=1)
[c](data:text/html,<script>window.hacked=1</script>)
![d](x" onerror="window.hacked=1) ![e](https://evil.example/pixel.png) <https://evil.example/" onclick="window.hacked=1>

```html "><img/src=x/onerror=window.hacked=1>
</code></pre><script>window.hacked=1</script>
```

| <img src=x onerror=window.hacked=1> | `<script>window.hacked=1</script>` |
|---|---|
| [x](vbscript:window.hacked=1) | &lt;img src=x onerror=window.hacked=1&gt; |
"""
ELEMENTS = "main :is(script, iframe, svg, form form, style, base, img, object, embed)"
ATTRIBUTES = "[onclick], [onerror], [onload], [href^='javascript' i], [href^='data' i]"


@pytest.fixture(autouse=True)
def unharmed(page: Page, complaints: list[str]) -> Iterator[None]:
    """Nothing ran, nothing was fetched from elsewhere, and the policy had nothing to stop."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield
    assert page.evaluate("window.hacked") is None
    assert page.locator(ELEMENTS).count() == 0
    assert (
        page.locator("main :is([onclick], [onerror], [onload], [href^='javascript' i], [href^='data' i])").count() == 0
    )
    assert not [url for url in asked if url.startswith("https://evil.example")]
    assert complaints == []


def test_a_models_answer(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="vectors", answer=VECTORS, hold="gate", hold_after_chunks=20)
    register(page)
    ask(page, "vectors")
    # Half written, when tags are open that will be closed later.
    expect(page.get_by_test_id("stream")).to_contain_text("<svg/onload")
    assert page.locator(ELEMENTS).count() == 0
    stack.upstream.release("gate")
    answer = page.get_by_test_id("answer")
    expect(answer).to_contain_text("<iframe srcdoc")
    expect(answer.locator("pre")).to_contain_text("</code></pre><script>")
    for link in answer.locator("a[href]").all():
        assert (link.get_attribute("href") or "").startswith("https://")
        assert "noopener" in (link.get_attribute("rel") or "")
        assert link.get_attribute("target") == "_blank"
    answer.locator(".code-copy").click()
    page.reload()
    expect(page.get_by_test_id("answer")).to_contain_text("<iframe srcdoc")


def test_titles_and_what_is_found(page: Page, stack: Stack) -> None:
    stack.upstream.rule(contains="needle", answer=f"needle {EVIL}")
    register(page)
    ask(page, f"needle {EVIL}")
    expect(page.get_by_test_id("answer")).to_contain_text("needle")
    expect(page.get_by_test_id("question")).to_contain_text(EVIL)
    page.get_by_role("button", name="Actions for the dialog").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Title").fill(EVIL)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("session")).to_have_text(EVIL)
    page.get_by_label("Search the dialogs").fill("needle")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Found: 2")).to_be_visible()
    expect(page.get_by_role("navigation", name="Dialogs")).to_contain_text(f"needle {EVIL[:20]}")
    page.get_by_label("Search the dialogs").fill("")
    page.get_by_role("button", name="Actions for the dialog").click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text(EVIL)
    assert page.get_by_role("dialog").locator("img, script").count() == 0


def test_names_of_people_keys_and_bots(page: Page, stack: Stack) -> None:
    register(page)
    page.goto("/keys")
    page.get_by_label("Name").fill(EVIL[:100])
    page.get_by_role("button", name="Create").click()
    key = page.get_by_test_id("secret").inner_text()
    expect(page.get_by_text(EVIL[:100])).to_be_visible()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("dialog")).to_contain_text(EVIL[:100])
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.goto("/account")
    page.get_by_role("button", name="Get a code").click()
    told = {"userId": EVIL[:60], "code": page.get_by_test_id("secret").inner_text()}
    confirmed = call(stack, "POST", "/api/link/confirm", key=key, json=told)
    assert confirmed.ok, confirmed.text
    expect(page.get_by_role("listitem")).to_contain_text(EVIL[:60])


def test_the_name_that_one_is_called_by(page: Page) -> None:
    page.goto("/register")
    page.get_by_label("User name").fill(f"evil-{uuid4().hex[:8]}")
    page.get_by_label("What to call you").fill(EVIL[:60])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    expect(page.locator("header")).to_contain_text(EVIL[:60])
    page.goto("/account")
    expect(page.locator("main")).to_contain_text(EVIL[:60])


def test_reasons_in_the_ledger(page: Page, stack: Stack) -> None:
    account_id = account_of(stack, register(page))["_id"]
    body = {"delta": 5, "reason": EVIL[:200]}
    reply = call(stack, "POST", f"/api/admin/user/{account_id}/adjust", token=admin_token(stack), json=body)
    assert reply.ok, reply.text
    page.goto("/balance")
    expect(page.get_by_test_id("ledger")).to_contain_text(EVIL[:200])


def test_words_of_errors(page: Page, stack: Stack) -> None:
    spend_everything(stack, register(page))
    evil = {"code": "X", "error": EVIL, "message": EVIL, "details": {EVIL: [EVIL]}}
    page.route("**/api/billing/redeem", lambda route: route.fulfill(status=400, json=evil))
    page.goto("/balance")
    page.get_by_role("textbox", name="Top-up code").fill(EVIL[:60])
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("alert")).to_contain_text(f"{EVIL}: {EVIL}")
    # A failure that comes in the stream of an answer.
    failed = 'id: 1\nevent: error\ndata: {"code": "X", "message": "<img src=x onerror=window.hacked=1>"}\n\n'
    page.route("**/events?after=*", lambda route: route.fulfill(body=failed, content_type="text/event-stream"))
    page.route("**/api/chat", lambda route: route.fulfill(status=202, json={"jobId": "j"}))
    page.goto("/chat")
    ask(page, "fail")
    expect(page.get_by_role("alert")).to_contain_text("<img src=x onerror=window.hacked=1>")


def test_where_to_go_after_a_login(page: Page) -> None:
    name = register(page)
    page.goto("/account")
    page.get_by_role("button", name=name).click()
    page.get_by_role("menuitem", name="Log out").click()
    page.goto("/login?next=//evil.example/")
    page.get_by_label("User name or e-mail").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_label("Message", exact=True)).to_be_visible()
