"""Webhooks in the browser: from the form to what a receiver hears, and again."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from standardwebhooks.webhooks import Webhook

from devstack.stack import Stack
from tests.browser.support import ask, register
from tests.core.receivers import Receiver, receiving
from tests.stack.stack import eventually

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_an_answer_is_delivered_and_delivered_again(page: Page, stack: Stack, receiver: Receiver) -> None:
    stack.upstream.rule(contains="tell the shop", answer="Told.")
    register(page)
    page.goto("/webhooks")
    page.get_by_label("Address").fill(receiver.url)
    page.get_by_role("button", name="Add", exact=True).click()
    secret = page.get_by_test_id("secret").inner_text()
    page.goto("/chat")
    ask(page, "tell the shop")
    expect(page.get_by_test_id("answer")).to_contain_text("Told.")
    page.goto("/webhooks")
    # A secret is shown once.
    expect(page.get_by_text(receiver.url)).to_be_visible()
    expect(page.get_by_test_id("secret")).to_have_count(0)
    page.get_by_role("button", name="Deliveries").click()
    delivery = page.get_by_test_id("delivery")
    expect(delivery).to_contain_text("answered")
    expect(delivery).to_contain_text("delivered")
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("It is being sent again")).to_be_visible()
    # The list may still say it of the first time.
    eventually(lambda: len(receiver.heard) == 2, 15)
    expect(delivery).to_contain_text("delivered")
    first, second = receiver.heard
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert Webhook(secret).verify(first.body, first.headers)["data"]["message"] == "Told."


def test_a_test_tells_what_became_of_it(page: Page, receiver: Receiver) -> None:
    receiver.replies.append((500, {}))
    register(page)
    page.goto("/webhooks")
    page.get_by_label("Address").fill(receiver.url)
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_test_id("delivery")).to_contain_text("HTTP 500 · the receiver refused it · next try")
    page.get_by_role("button", name="Turn off").click()
    expect(page.get_by_role("button", name="Turn on")).to_be_visible()
    page.get_by_role("button", name="Change the secret").click()
    expect(page.get_by_test_id("secret")).to_contain_text("whsec_")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No webhooks yet")).to_be_visible()


def test_a_template_speaks_the_receivers_words(page: Page, receiver: Receiver) -> None:
    register(page)
    page.goto("/webhooks")
    page.get_by_label("Address").fill(receiver.url)
    page.get_by_label("Format").select_option("by a template")
    page.get_by_label("Name of field 1").fill("variables.answer")
    page.get_by_label("Value of field 1").fill("{message} for {nobody}")
    page.get_by_role("button", name="Add a field").click()
    expect(page.get_by_label("Name of field 2")).to_be_focused()
    page.keyboard.type("contact")
    page.get_by_label("Value of field 2").fill("{metadata.contact}")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_test_id("template-error")).to_have_text("Unknown placeholder: nobody.")
    page.get_by_label("Value of field 1").fill("{message}!")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("by a template · answered, failed, cancelled")).to_be_visible()
    page.get_by_role("button", name="Test", exact=True).click()
    page.get_by_label("contact").fill("4242")
    page.get_by_role("button", name="Send the test").click()
    expect(page.get_by_test_id("delivery")).to_contain_text("delivered")
    assert json.loads(receiver.heard[0].body) == {"variables": {"answer": "Test!"}, "contact": "4242"}


def test_an_address_that_may_not_be_called_is_told_at_its_field(page: Page) -> None:
    register(page)
    page.goto("/webhooks")
    page.get_by_label("Address").fill("http://10.0.0.1/hook")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_label("Address")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".invalid-feedback")).to_have_text("Not the address of a public server.")
