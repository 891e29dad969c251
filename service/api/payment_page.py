"""`/pay/test/<id>`: the page on which the payer of the development provider pays or declines. Not there in production.

What the payer decides is only the provider's business; that it reaches the balance takes the way of a real payment.
"""

from flask import Flask, Response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from service.api.auth import client_address, public
from service.api.state import locale, services
from service.domain.errors import NotFound
from service.domain.payments import ProviderName, as_decimal
from service.domain.texts import text
from service.usecases.ports import ProviderStatus, TestPaymentPage, TestPayments

_PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_TEXTS = ("title", "note", "pay", "decline", "back")


def install(app: Flask, payments: TestPayments | None) -> None:
    """Add the page where there is such a provider."""
    if payments is None:
        return

    @public
    def show(provider_id: str) -> Response:
        return _page(_found(payments.page(provider_id)))

    @public
    def decide(provider_id: str) -> ResponseReturnValue:
        page = _found(payments.decide(provider_id, pay=request.form.get("decision") == "pay"))
        services().paying.payments.notified(ProviderName.TEST, page.id, refund=False, address=client_address())
        return redirect(request.path, code=303)

    app.add_url_rule("/pay/test/<provider_id>", "test_payment_show", show, methods=["GET"])
    app.add_url_rule("/pay/test/<provider_id>", "test_payment_decide", decide, methods=["POST"])


def _found(page: TestPaymentPage | None) -> TestPaymentPage:
    if page is None:
        raise NotFound("payment")
    return page


def _page(page: TestPaymentPage) -> Response:
    language = locale()
    words = {name: text(language, f"page.test_payment_{name}") for name in _TEXTS}
    shown = render_template(
        "test_payment.html",
        language=language,
        words=words,
        page=page,
        pending=page.status is ProviderStatus.PENDING,
        state=text(language, f"page.test_payment_{page.status.value}"),
        amount=f"{as_decimal(page.amount_minor)} {page.currency}",
    )
    response = Response(shown, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    return response
