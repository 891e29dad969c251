"""A local server that speaks YooKassa's API: `python -m devstack.yookassa --port 4020`. For tests only.

As documented at https://yookassa.ru/developers/api: payments and refunds with basic authentication, idempotence keys
(the same key and body: the first answer; another body: 400), errors in their shape, and notifications. Tests play the
payer and break things over `/_control/…`, which answers callers on this machine only:

- `POST /_control/payments/{id}` {"status"?, "amount"?, "refunded"?, "notify": times}: what happened to a payment;
- `POST /_control/refunds/{id}` {"status", "notify"}: how a pending refund ends;
- `POST /_control/rules` {"on": create|read|refund|read_refund, "fault": one of `FAULTS`, "times"?}, `DELETE` ends all;
- `PUT /_control/notify-url` {"url"}, `GET /_control/state`, `DELETE /_control/state`.
"""

import argparse
import asyncio
import base64
import json
import os
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

SHOP_ID = "100500"
SECRET_KEY = "test_of-the-local-yookassa"  # noqa: S105 - of this server alone
KEY_CHARACTERS = 64
LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")
HANG_SECONDS = 30.0
NOTIFY_TIMEOUT_SECONDS = 20.0
# A fault either stands in the place of the answer, or (`done_…`) hides an answer that has had its effect.
FAULTS = (
    "500",
    "202",
    "429",
    "409",
    "reset",
    "hang",
    "garbage",
    "refuse",
    "done_500",
    "done_reset",
    "done_hang",
    "pending",
)

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiError(Exception):
    def __init__(self, status: int, code: str, description: str, parameter: str | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"type": "error", "id": str(uuid.uuid4()), "code": code, "description": description}
        if parameter:
            self.body["parameter"] = parameter


@dataclass
class Rule:
    on: str
    fault: str
    times: int | None = None

    def fits(self, call: str) -> bool:
        return self.on == call and self.times != 0


class YooKassa:
    """The routes, and all that the shop has."""

    def __init__(self) -> None:
        self._clear()
        self.notify_url = ""

    def _clear(self) -> None:
        self.payments: dict[str, Json] = {}
        self.refunds: dict[str, Json] = {}
        self.answers: dict[str, tuple[Json, Json]] = {}
        self.rules: list[Rule] = []
        self.calls: list[Json] = []
        self.notices: list[int] = []

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_guard])
        app.router.add_post("/v3/payments", self._faulty("create", self.create))
        app.router.add_get("/v3/payments/{id}", self._faulty("read", self.read))
        app.router.add_post("/v3/refunds", self._faulty("refund", self.refund))
        app.router.add_get("/v3/refunds/{id}", self._faulty("read_refund", self.read_refund))
        app.router.add_get("/_control/health", self.health)
        app.router.add_get("/_control/state", self.state)
        app.router.add_delete("/_control/state", self.clear)
        app.router.add_post("/_control/rules", self.add_rule)
        app.router.add_delete("/_control/rules", self.clear_rules)
        app.router.add_put("/_control/notify-url", self.set_notify_url)
        app.router.add_post("/_control/payments/{id}", self.change_payment)
        app.router.add_post("/_control/refunds/{id}", self.change_refund)
        return app

    async def create(self, request: web.Request) -> Json:
        return await self._once(request, self._new_payment)

    async def read(self, request: web.Request) -> Json:
        return _known(self.payments, request)

    async def refund(self, request: web.Request) -> Json:
        return await self._once(request, self._new_refund)

    async def read_refund(self, request: web.Request) -> Json:
        return _known(self.refunds, request)

    def _new_payment(self, body: Json) -> Json:
        _check_amount(body.get("amount"))
        confirmation = body.get("confirmation") or {}
        if confirmation.get("type") != "redirect" or not confirmation.get("return_url"):
            raise ApiError(400, "invalid_request", "A redirect needs a return_url", "confirmation.return_url")
        if len(body.get("description", "")) > 128:
            raise ApiError(400, "invalid_request", "Too long", "description")
        if "receipt" in body:
            _check_receipt(body["receipt"], body["amount"])
        payment_id = str(uuid.uuid4())
        self.payments[payment_id] = {
            "id": payment_id,
            "status": "pending",
            "paid": False,
            "amount": body["amount"],
            "confirmation": {
                "type": "redirect",
                "return_url": confirmation["return_url"],
                "confirmation_url": f"https://yoomoney.ru/checkout/payments/v2/contract?orderId={payment_id}",
            },
            "created_at": _now(),
            "description": body.get("description"),
            "metadata": body.get("metadata", {}),
            "recipient": {"account_id": SHOP_ID, "gateway_id": "100700"},
            "refundable": False,
            "test": True,
        }
        return self.payments[payment_id]

    def _new_refund(self, body: Json) -> Json:
        payment = self.payments.get(str(body.get("payment_id")))
        if payment is None or payment["status"] != "succeeded":
            raise ApiError(400, "invalid_request", "Payment doesn't exist or isn't paid", "payment_id")
        _check_amount(body.get("amount"))
        left = _value(payment["amount"]) - _value(payment.get("refunded_amount"))
        if _value(body["amount"]) > left:
            raise ApiError(400, "invalid_request", "Refund amount exceeds what is left of the payment", "amount.value")
        refund: Json = {
            "id": str(uuid.uuid4()),
            "payment_id": payment["id"],
            "status": "pending",
            "created_at": _now(),
            "amount": body["amount"],
        }
        self.refunds[refund["id"]] = refund
        if not self._due("refund", only="pending"):
            self._end_refund(refund, "succeeded")
        return refund

    def _end_refund(self, refund: Json, status: str) -> None:
        refund["status"] = status
        if status == "succeeded":
            payment = self.payments[refund["payment_id"]]
            refunded = _value(payment.get("refunded_amount")) + _value(refund["amount"])
            payment["refunded_amount"] = {"value": f"{refunded:.2f}", "currency": refund["amount"]["currency"]}
            payment["refundable"] = refunded < _value(payment["amount"])

    async def _once(self, request: web.Request, make: Callable[[Json], Json]) -> Json:
        """Idempotence as documented: what a key led to first is what it leads to."""
        key = request.headers.get("Idempotence-Key", "")
        if not 1 <= len(key) <= KEY_CHARACTERS:
            raise ApiError(400, "invalid_request", "Idempotence key is missing or too long", "Idempotence-Key")
        body = await _json_of(request)
        if key in self.answers:
            asked, answer = self.answers[key]
            if asked != body:
                raise ApiError(400, "invalid_request", "Idempotence key duplicated", "Idempotence-Key")
            return answer
        answer = dict(make(body))
        self.answers[key] = (body, answer)
        return answer

    def _faulty(self, call: str, handle: Callable[[web.Request], Awaitable[Json]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            _check_credentials(request)
            body = await request.text()
            self.calls.append(
                {"call": call, "path": request.path, "key": request.headers.get("Idempotence-Key"), "body": body}
            )
            rule = self._due(call)
            fault = "" if rule is None else rule.fault
            if fault and not fault.startswith("done_"):
                return await _fail(request, fault)
            result = await handle(request)
            return await _fail(request, fault.removeprefix("done_")) if fault else web.json_response(result)

        return answer

    def _due(self, call: str, only: str | None = None) -> Rule | None:
        """The first rule for this call, used up by one; rules about what an object becomes are asked for by name."""
        for rule in self.rules:
            if rule.fits(call) and (rule.fault == only if only else rule.fault != "pending"):
                rule.times = None if rule.times is None else rule.times - 1
                return rule
        return None

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "pid": os.getpid()})

    async def state(self, _request: web.Request) -> web.Response:
        shown = {"payments": list(self.payments.values()), "refunds": list(self.refunds.values())}
        return web.json_response({**shown, "calls": self.calls, "notices": self.notices})

    async def clear(self, _request: web.Request) -> web.Response:
        self._clear()
        return web.json_response({})

    async def add_rule(self, request: web.Request) -> web.Response:
        rule = Rule(**await _json_of(request))
        if rule.fault not in FAULTS:
            raise ApiError(400, "invalid_request", f"A fault is one of {FAULTS}", "fault")
        self.rules.append(rule)
        return web.json_response({})

    async def clear_rules(self, _request: web.Request) -> web.Response:
        self.rules.clear()
        return web.json_response({})

    async def set_notify_url(self, request: web.Request) -> web.Response:
        self.notify_url = (await _json_of(request))["url"]
        return web.json_response({})

    async def change_payment(self, request: web.Request) -> web.Response:
        """What happened, and so many notifications about it at the same time."""
        payment, change = _known(self.payments, request), await _json_of(request)
        if "amount" in change:
            payment["amount"] = {**payment["amount"], **change["amount"]}
        if "refunded" in change:
            payment["refunded_amount"] = {**payment["amount"], "value": change["refunded"]}
        if "status" in change:
            payment["status"] = change["status"]
            payment["paid"] = payment["refundable"] = change["status"] == "succeeded"
            if change["status"] == "canceled":
                payment["cancellation_details"] = {"party": "yoo_money", "reason": "expired_on_confirmation"}
        event = "refund.succeeded" if "refunded" in change else f"payment.{payment['status']}"
        told = {"id": str(uuid.uuid4()), "payment_id": payment["id"]} if "refunded" in change else payment
        await self._notify(event, told, change.get("notify", 0))
        return web.json_response(payment)

    async def change_refund(self, request: web.Request) -> web.Response:
        refund, change = _known(self.refunds, request), await _json_of(request)
        self._end_refund(refund, change["status"])
        await self._notify(f"refund.{refund['status']}", refund, change.get("notify", 0))
        return web.json_response(refund)

    async def _notify(self, event: str, subject: Json, times: int) -> None:
        notice = {"type": "notification", "event": event, "object": subject}
        async with ClientSession(timeout=ClientTimeout(NOTIFY_TIMEOUT_SECONDS)) as http:

            async def send() -> int:
                try:
                    async with http.post(self.notify_url, json=notice) as reply:
                        return reply.status
                except (ClientError, TimeoutError):
                    return 0

            self.notices += await asyncio.gather(*(send() for _ in range(times)))


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/_control/") and request.remote not in LOOPBACK_ADDRESSES:
        return web.json_response({}, status=403)
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.body, status=error.status)


async def _fail(request: web.Request, fault: str) -> web.StreamResponse:
    if fault == "hang":
        await asyncio.sleep(HANG_SECONDS)
    if fault in ("reset", "hang"):
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # nobody is there to read it
    if fault == "garbage":
        return web.Response(text="<html>", content_type="text/html")
    if fault == "202":
        processing = {"type": "processing", "description": "Request accepted, but not processed yet"}
        return web.json_response({**processing, "retry_after": 1800}, status=202)
    if fault == "refuse":
        raise ApiError(400, "invalid_request", "Refused by a rule of the test", "receipt.customer")
    codes = {"429": "too_many_requests", "409": "conflict"}
    raise ApiError(int(fault), codes.get(fault, "internal_server_error"), "By a rule of the test")


def _check_credentials(request: web.Request) -> None:
    expected = base64.b64encode(f"{SHOP_ID}:{SECRET_KEY}".encode()).decode()
    if request.headers.get("Authorization") != f"Basic {expected}":
        raise ApiError(401, "invalid_credentials", "Error in shopId or secret key. Check their validity.")


def _check_amount(amount: Any) -> None:
    try:
        good = amount["currency"] == "RUB" and _value(amount) > 0 and "." in amount["value"]
    except (KeyError, TypeError, ArithmeticError):
        good = False
    if not good:
        raise ApiError(400, "invalid_request", "Invalid amount", "amount")


def _check_receipt(receipt: Json, amount: Json) -> None:
    customer, items = receipt.get("customer", {}), receipt.get("items", [])
    if not (customer.get("email") or str(customer.get("phone", "")).isdecimal()):
        raise ApiError(400, "invalid_request", "Receipt needs a contact", "receipt.customer")
    wanted = ("description", "quantity", "amount", "vat_code")
    if not items or any(name not in item for item in items for name in wanted):
        raise ApiError(400, "invalid_request", "Receipt items are not complete", "receipt.items")
    total = sum((_value(item["amount"]) * Decimal(item["quantity"]) for item in items), Decimal())
    if total != _value(amount):
        raise ApiError(400, "invalid_request", "Receipt items don't add up to the amount", "receipt.items")


def _value(amount: Json | None) -> Decimal:
    return Decimal(amount["value"]) if amount else Decimal()


def _known(objects: dict[str, Json], request: web.Request) -> Json:
    found = objects.get(request.match_info["id"])
    if found is None:
        raise ApiError(404, "not_found", "Incorrect id", "id")
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _json_of(request: web.Request) -> Json:
    try:
        body: Json = await request.json()
    except json.JSONDecodeError as error:
        raise ApiError(400, "invalid_request", "Invalid JSON") from error
    return body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    app = YooKassa().application()
    web.run_app(app, host=options.host, port=options.port, shutdown_timeout=0.5, access_log=None, print=None)


if __name__ == "__main__":
    main()
