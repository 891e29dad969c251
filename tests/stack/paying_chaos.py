"""People pay and get their money back while processes, servers and the payment provider break at random.

The local YooKassa is the independent witness of what was paid and given back.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.core.checker import check_money
from tests.stack.chaos import CLIENTS, RECOVERY_SECONDS, Chaos
from tests.stack.stack import Person, eventually

TOKENS = 100_000
CALLS = ("create", "read", "refund")
FAULTS = ("500", "429", "202", "reset", "garbage", "done_500", "done_reset")
# Fewer than may be started in an hour.
ORDERS_OF_ONE = 40
# What the payer does with an order: pay, let it expire, leave it open.
DECISIONS = ("pay", "expire", "leave")
DECISION_WEIGHTS = (70, 15, 15)


@dataclass
class PayingChaos(Chaos):
    """As `Chaos`, with payers for clients, each with an operator who refunds."""

    operators: list[Person] = field(default_factory=list)

    def hire(self) -> None:
        """Make the operators; call it before `run`."""
        for _ in range(CLIENTS):
            operator = self.stack.register()
            self.stack.db.accounts.update_one({"_id": operator.account_id}, {"$set": {"role": "admin"}})
            self.operators.append(operator)

    def judge(self) -> None:
        """Fail unless everything that YooKassa says was paid is credited, and what it gave back is taken, once each."""
        if self.complaints:
            raise self.complaints[0]
        yookassa, db = self.stack.yookassa, self.stack.db
        yookassa.clear_rules()
        eventually(lambda: not self._unsettled(), RECOVERY_SECONDS)
        orders = Counter(payment["metadata"]["payment_id"] for payment in yookassa.payments())
        assert set(orders.values()) <= {1}, "an order was placed twice"
        refunds = Counter(refund["payment_id"] for refund in yookassa.refunds())
        assert set(refunds.values()) <= {1}, "a payment was given back twice"
        check_money(db)

    def outcomes(self) -> Counter[str]:
        """How many payments of YooKassa's are in which state here."""
        rows = {row["_id"]: row["status"] for row in self.stack.db.payments.find()}
        return Counter(rows[payment["metadata"]["payment_id"]] for payment in self.stack.yookassa.payments())

    def _unsettled(self) -> list[tuple[str, str]]:
        """Payments whose state here is not what YooKassa says."""
        rows = {row["_id"]: row["status"] for row in self.stack.db.payments.find()}
        wrong = [(name, status) for name, status in rows.items() if status == "refunding"]
        for payment in self.stack.yookassa.payments():
            here = rows[payment["metadata"]["payment_id"]]
            if here != self._expected(payment):
                wrong.append((payment["metadata"]["payment_id"], here))
        return wrong

    @staticmethod
    def _expected(payment: dict[str, Any]) -> str:
        if payment["status"] == "succeeded":
            return "refunded" if "refunded_amount" in payment else "succeeded"
        return {"pending": "pending", "canceled": "cancelled"}[payment["status"]]

    def _talk(self, number: int, person: Person) -> None:
        chance = random.Random(f"{self.seed}-paying-{number}")
        operator, count = self.operators[number], 0
        while not self._stopped.is_set():
            count += 1
            payment_id = self._order(person, f"order-{number}-{count}")
            if payment_id is None:
                return
            if count % ORDERS_OF_ONE == 0:
                person = self._newcomer() or person
            self._decide(chance, payment_id)
            if chance.random() < 0.3:
                self._refund(operator, payment_id, f"refund-{number}-{count}")
            self._stopped.wait(chance.uniform(0.05, 0.3))

    def _newcomer(self) -> Person | None:
        """Somebody who hasn't ordered as often as one may yet; None if there is no way in now."""
        try:
            return self.stack.register()
        except (requests.RequestException, AssertionError):
            return None

    def _order(self, person: Person, key: str) -> str | None:
        """The payment's id; the same order again until the API takes it."""
        headers = {"Idempotency-Key": key}
        while True:
            reply = self._try(
                lambda: person.call("POST", "/api/billing/topup", json={"amount": TOKENS}, headers=headers, timeout=20)
            )
            if reply is not None and reply.status_code == 202:
                return str(reply.json()["paymentId"])
            assert reply is None or reply.status_code in (429, 503), reply.text
            if self._stopped.wait(0.2):
                return None

    def _decide(self, chance: random.Random, payment_id: str) -> None:
        (theirs,) = (p for p in self.stack.yookassa.payments() if p["metadata"]["payment_id"] == payment_id)
        decision, notices = chance.choices(DECISIONS, DECISION_WEIGHTS)[0], chance.choice((0, 0, 1, 3))
        if decision == "pay":
            self.stack.yookassa.pay(theirs["id"], notify=notices)
        elif decision == "expire":
            self.stack.yookassa.let_expire(theirs["id"], notify=notices)

    def _refund(self, operator: Person, payment_id: str, key: str) -> None:
        """Once or twice, whatever comes of it: the judge compares what both sides say."""
        path, body = f"/api/admin/payments/{payment_id}/refund", {"reason": "chaos"}
        for _ in range(2):
            self._try(lambda: operator.call("POST", path, json=body, headers={"Idempotency-Key": key}, timeout=20))

    def _inject(self, chance: random.Random) -> None:
        self.stack.yookassa.rule(chance.choice(CALLS), chance.choice(FAULTS), times=chance.randint(1, 3))
        super()._inject(chance)
