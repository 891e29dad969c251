"""YooKassa over its own protocol: https://yookassa.ru/developers/api. One request per call, no retries of ours.

What its statuses mean is their rule: 2xx is done, 4xx is refused and nothing was done, 5xx and silence are unknown
until the request is repeated under the same `Idempotence-Key` or the object is read again.
"""

from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import gevent
import httpx2
import structlog

from service.domain.payments import MINOR_UNITS, Payment, Receipt, RefundStatus, as_decimal
from service.usecases.ports import (
    ProviderPayment,
    ProviderRefund,
    ProviderRefused,
    ProviderStatus,
    ProviderUnavailable,
)

log = structlog.get_logger(__name__)

Json = dict[str, Any]

CONNECT_TIMEOUT_SECONDS = 3.0
# Their limit for descriptions.
DESCRIPTION_CHARACTERS = 128
# Under this key our payment's id is in the metadata of theirs.
ORDER_KEY = "payment_id"
# 4xx that say "not now" rather than "no".
_NOT_NOW = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})
_STATUSES = {
    "pending": ProviderStatus.PENDING,
    # Only of payments without `capture`, which we never ask for; the money isn't ours before it is captured.
    "waiting_for_capture": ProviderStatus.PENDING,
    "succeeded": ProviderStatus.SUCCEEDED,
    "canceled": ProviderStatus.CANCELLED,
}
_REFUND_STATUSES = {
    "pending": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "canceled": RefundStatus.FAILED,
}


class TooSlow(Exception):
    """The time of the whole request is over."""


class YooKassa:
    def __init__(self, *, api_url: str, shop_id: str, secret_key: str, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._http = httpx2.Client(
            base_url=api_url.rstrip("/"),
            auth=(shop_id, secret_key),
            timeout=httpx2.Timeout(timeout_seconds, connect=min(CONNECT_TIMEOUT_SECONDS, timeout_seconds)),
            follow_redirects=False,
        )

    def confirmed_by_hand(self) -> bool:
        """See `ports.PaymentProvider.confirmed_by_hand`."""
        return False

    def create(self, payment: Payment) -> ProviderPayment:
        """See `ports.PaymentProvider.create`."""
        return _payment(self._post("/payments", order_body(payment), payment.id))

    def read(self, provider_id: str) -> ProviderPayment | None:
        """See `ports.PaymentProvider.read`."""
        try:
            return _payment(self._call("GET", f"/payments/{provider_id}"))
        except _Refused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise ProviderUnavailable(refused.reason) from refused

    def refund(self, payment: Payment) -> ProviderRefund:
        """See `ports.PaymentProvider.refund`. Of a full refund YooKassa makes the receipt from the payment's own."""
        body = {"payment_id": payment.provider_id, "amount": _amount(payment)}
        return _refund(self._post("/refunds", body, payment.refund_key))

    def read_refund(self, refund_id: str) -> ProviderRefund:
        """See `ports.PaymentProvider.read_refund`."""
        try:
            return _refund(self._call("GET", f"/refunds/{refund_id}"))
        except _Refused as refused:
            raise ProviderUnavailable(refused.reason) from refused

    def _post(self, path: str, body: Json, idempotence_key: str) -> Json:
        try:
            return self._call("POST", path, json=body, headers={"Idempotence-Key": idempotence_key})
        except _Refused as refused:
            log.error("payment provider refused", path=path, reason=refused.reason)
            raise ProviderRefused(refused.reason) from refused

    def _call(self, method: str, path: str, **options: Any) -> Json:
        """The object that a 200 brings. Raises _Refused, ProviderUnavailable."""
        try:
            with gevent.Timeout(self._timeout_seconds, TooSlow):
                response = self._http.request(method, path, **options)
        except (TooSlow, httpx2.TimeoutException) as error:
            raise ProviderUnavailable("timeout") from error
        except httpx2.HTTPError as error:
            raise ProviderUnavailable("connection") from error
        status = response.status_code
        if status != HTTPStatus.OK and (status in _NOT_NOW or not 400 <= status < 500):
            raise ProviderUnavailable(f"http_{status}")
        body = _json(response)
        if status != HTTPStatus.OK:
            raise _Refused(status, body)
        return body


class _Refused(Exception):
    """A 4xx. What is logged of it are YooKassa's code and the name of the field, never values."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(status)
        self.status = status
        words = [str(status), *(str(body[name]) for name in ("code", "parameter") if body.get(name))]
        self.reason = " ".join(words)[:200]


def order_body(payment: Payment) -> Json:
    """The request that creates it: made of what is stored alone, so that a repeated one is the same."""
    body: Json = {
        "amount": _amount(payment),
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": payment.return_url},
        "description": payment.description[:DESCRIPTION_CHARACTERS],
        "metadata": {ORDER_KEY: payment.id},
    }
    if payment.receipt is not None:
        body["receipt"] = _receipt(payment, payment.receipt)
    return body


def _receipt(payment: Payment, receipt: Receipt) -> Json:
    contacts = {"email": receipt.email, "phone": receipt.phone}
    item = {
        "description": (receipt.description or payment.description)[:DESCRIPTION_CHARACTERS],
        "quantity": "1.00",
        "amount": _amount(payment),
        "vat_code": receipt.vat_code,
        "payment_subject": receipt.payment_subject,
        "payment_mode": receipt.payment_mode,
    }
    body: Json = {"customer": {name: value for name, value in contacts.items() if value}, "items": [item]}
    if receipt.tax_system_code is not None:
        body["tax_system_code"] = receipt.tax_system_code
    return body


def _amount(payment: Payment) -> Json:
    return {"value": as_decimal(payment.amount_minor), "currency": payment.currency}


def _json(response: httpx2.Response) -> Json:
    try:
        body = response.json()
    except ValueError as error:
        raise ProviderUnavailable("garbage") from error
    if not isinstance(body, dict):
        raise ProviderUnavailable("garbage")
    return body


def _payment(body: Json) -> ProviderPayment:
    try:
        confirmation: Json = body.get("confirmation") or {}
        refunded = body.get("refunded_amount")
        return ProviderPayment(
            id=_text(body["id"]),
            # `paid` without `succeeded` doesn't occur with `capture`; `succeeded` without `paid` would be a riddle.
            status=_paid(_STATUSES[body["status"]], body),
            order_id=str((body.get("metadata") or {}).get(ORDER_KEY, "")),
            amount_minor=_minor(body["amount"]),
            currency=_text(body["amount"]["currency"]),
            confirmation_url=confirmation.get("confirmation_url"),
            refunded_minor=_minor(refunded) if refunded else 0,
            cancel_reason=(body.get("cancellation_details") or {}).get("reason"),
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ProviderUnavailable("garbage") from error


def _paid(status: ProviderStatus, body: Json) -> ProviderStatus:
    if status is ProviderStatus.SUCCEEDED and body.get("paid") is not True:
        raise ValueError("succeeded and not paid")
    return status


def _refund(body: Json) -> ProviderRefund:
    try:
        return ProviderRefund(id=_text(body["id"]), status=_REFUND_STATUSES[body["status"]])
    except (KeyError, TypeError, ValueError) as error:
        raise ProviderUnavailable("garbage") from error


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("not a text")
    return value


def _minor(amount: Mapping[str, Any]) -> int:
    """Kopecks of their decimal text. Raises ValueError for a fraction of one."""
    minor = Decimal(_text(amount["value"])) * MINOR_UNITS
    if minor != int(minor):
        raise ValueError("a fraction of a kopeck")
    return int(minor)
