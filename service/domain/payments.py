"""Payments of people: what tokens and credits cost, the states they pass, and the codes that stand for a paid amount.

Money is counted in minor units (kopecks), tokens and credits are whole. A payment's id decides the ids of its ledger
entries, so a credit or a refund that is written twice is a duplicate key and not a second movement.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from service.domain.billing import Unit, wallet_id_of
from service.domain.errors import ValidationFailed

CURRENCY = "RUB"
MINOR_UNITS = 100
# A provider that has never answered is asked under the same idempotence key; YooKassa remembers one for 24 hours.
UNPLACED_LIFE = timedelta(hours=23)
# After so long nobody is going to finish a payment page; money that comes later all the same is still credited.
UNPAID_LIFE = timedelta(days=7)
# A bank transfer may take its time.
MANUAL_LIFE = timedelta(days=30)
# How soon an open payment is looked at again, by its age, in multiples of the shortest pause: notifications get lost
# seldom, and payers decide early.
_PAUSES = ((timedelta(minutes=10), 1), (timedelta(hours=1), 4), (timedelta(days=1), 30))
_LATE_PAUSE = 120
# Without letters and digits that look alike; 16 of them are 80 random bits.
_CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_CHARACTERS = 16
_CODE_GROUP = 4
_MISREAD = str.maketrans("OIL", "011")
_CODE = re.compile(f"[{_CODE_ALPHABET}]{{{_CODE_CHARACTERS}}}")
CODE_HINT_CHARACTERS = 4


class ProviderName(StrEnum):
    MANUAL = "manual"
    YOOKASSA = "yookassa"
    TEST = "test"


class PaymentStatus(StrEnum):
    """`refunding`: the tokens are taken back, and the provider hasn't said yet that the money is."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


# Money may come after we stopped waiting for it: what the provider says is paid is credited from either.
UNPAID_STATUSES = (PaymentStatus.PENDING, PaymentStatus.CANCELLED)


class RefundStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Price:
    """What tokens or credits cost, `kopecks` for so many `units` of them, and how much may be bought at once."""

    units: int
    kopecks: int
    min_rubles: int
    max_rubles: int

    @property
    def least(self) -> int:
        return -(-self.min_rubles * MINOR_UNITS * self.units // self.kopecks)

    @property
    def most(self) -> int:
        return self.max_rubles * MINOR_UNITS * self.units // self.kopecks

    def cost(self, amount: int) -> int:
        """Kopecks, rounded up. Raises ValidationFailed beyond the limits of one payment."""
        if not self.least <= amount <= self.most:
            raise ValidationFailed(details={"amount": [f"range:{self.least}:{self.most}"]})
        return -(-amount * self.kopecks // self.units)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt by 54-FZ needs beyond the amount. One of `email` and `phone` is there; `description` is of the one
    item, the payment's own where there is none."""

    email: str | None
    phone: str | None
    vat_code: int
    payment_subject: str
    payment_mode: str
    tax_system_code: int | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Refund:
    """The last try to give a payment's money back. `tokens`, in the payment's unit, were taken; `shortfall_tokens` were
    spent already.

    `number` counts the tries. `requested_by` is `system` if the money was given back without us.
    """

    number: int
    status: RefundStatus
    tokens: int
    reason: str
    requested_by: str
    requested_at: datetime
    provider_id: str | None = None
    shortfall_tokens: int = 0
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """An order of `tokens`, or of as many extra credits: `unit` says which. Everything that the provider is told is
    kept, so that it can be told again word by word.

    `problem` says why an operator has to look at it. `next_check_at` is None once nothing is open.
    """

    id: str
    account_id: str
    provider: ProviderName
    status: PaymentStatus
    tokens: int
    amount_minor: int
    currency: str
    description: str
    return_url: str
    request_id: str
    created_at: datetime
    receipt: Receipt | None = None
    provider_id: str | None = None
    confirmation_url: str | None = None
    next_check_at: datetime | None = None
    finished_at: datetime | None = None
    confirmed_by: str | None = None
    cancel_reason: str | None = None
    problem: str | None = None
    refund: Refund | None = None
    unit: Unit = Unit.TOKENS

    @property
    def wallet_id(self) -> str:
        """Where what was bought goes."""
        return wallet_id_of(self.account_id, self.unit)

    @property
    def credit_entry(self) -> str:
        """The ledger entry that credits it."""
        return f"payment:{self.id}"

    @property
    def refund_key(self) -> str:
        """What tells the provider that a repeated try is the same refund."""
        return f"{self.id}-refund-{self.refund_number}"

    @property
    def refund_entry(self) -> str:
        return f"payment:{self.id}:refund:{self.refund_number}"

    @property
    def refund_number(self) -> int:
        return 0 if self.refund is None else self.refund.number


@dataclass(frozen=True, slots=True)
class RedeemCode:
    """A code that is worth `tokens`, or as many extra credits, to the first who claims it. What it says is stored as a
    hash; `hint` is its end."""

    id: str
    batch_id: str
    hint: str
    tokens: int
    note: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    revoked_at: datetime | None = None
    unit: Unit = Unit.TOKENS

    @property
    def entry(self) -> str:
        """The ledger entry of its claim."""
        return f"code:{self.id}"

    def is_claimable(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


def next_check(created_at: datetime, now: datetime, pause: timedelta) -> datetime:
    """When a payment of this age is looked at again; `pause` is the shortest one."""
    age = now - created_at
    return now + pause * next((times for limit, times in _PAUSES if age < limit), _LATE_PAUSE)


def as_decimal(amount_minor: int) -> str:
    """`123.45`, as providers and people write it."""
    return f"{amount_minor // MINOR_UNITS}.{amount_minor % MINOR_UNITS:02}"


def new_code() -> str:
    """A fresh code, as it is shown: `7F3K-9QXN-…`."""
    plain = "".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_CHARACTERS))
    return "-".join(plain[start : start + _CODE_GROUP] for start in range(0, _CODE_CHARACTERS, _CODE_GROUP))


def plain_code(typed: str) -> str | None:
    """The code that somebody typed, without what people add and misread; None if it can't be one."""
    plain = re.sub(r"[\s-]", "", typed).upper().translate(_MISREAD)
    return plain if _CODE.fullmatch(plain) else None


def hash_code(plain: str) -> str:
    """What is stored. A code has 80 random bits and guesses are throttled, so a fast hash keeps it."""
    return hashlib.sha256(plain.encode()).hexdigest()
