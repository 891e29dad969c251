"""What people do on the pages, and who else calls the API meanwhile."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import requests
from playwright.sync_api import Page, Route, expect

from devstack.stack import Stack

PASSWORD = "long enough"
# So that a text can be told from what was there before.
LONG = " ".join(f"word{n}" for n in range(200))
EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>[x](javascript:window.hacked=1)'


def register(page: Page) -> str:
    """Signs up; the new name."""
    name = f"user-{uuid4().hex[:10]}"
    page.goto("/register")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    expect(page.get_by_label("Message", exact=True)).to_be_visible()
    return name


def become(page: Page, stack: Stack, role: str) -> str:
    """Signs up, and has this role from then on; the new name."""
    name = register(page)
    stack.db.accounts.update_one({"username": name}, {"$set": {"role": role}})
    return name


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("User name or e-mail").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def spend_everything(stack: Stack, name: str) -> None:
    """Leaves one token."""
    stack.db.wallets.update_one({"_id": account_of(stack, name)["_id"]}, {"$set": {"available": 1}})


def account_of(stack: Stack, name: str) -> dict[str, Any]:
    found = stack.db.accounts.find_one({"username": name})
    assert found is not None
    return found


def call(stack: Stack, method: str, path: str, *, token: str = "", key: str = "", **options: Any) -> requests.Response:
    """A request of a program, with a token or an API key."""
    credentials = {"Authorization": f"Bearer {token}"} if token else {"X-API-Key": key} if key else {}
    return requests.request(method, f"{stack.web.url}{path}", headers=credentials, timeout=30, **options)


def admin_token(stack: Stack) -> str:
    """Of a new account that may do everything."""
    body = {"username": f"admin-{uuid4().hex[:8]}", "password": PASSWORD}
    reply = call(stack, "POST", "/api/auth/register", json=body).json()
    stack.db.accounts.update_one({"_id": reply["userId"]}, {"$set": {"role": "admin"}})
    return str(reply["token"])


def lose_the_answer(page: Page, path: str) -> Callable[[], list[str]]:
    """The next POST to `path` arrives, and the connection breaks before its answer does.

    Returns what tells the idempotency keys that all of them came with.
    """
    keys: list[str] = []

    def handle(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(route.request.headers.get("idempotency-key", ""))
        if len(keys) == 1:
            route.fetch()
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route(f"**{path}", handle)
    return lambda: keys
