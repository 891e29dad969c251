"""Events about jobs and who is told of them: endpoints, deliveries, and when a delivery is tried again."""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from service.domain.jobs import Job
from service.domain.parts import PART_CHARACTERS

# Seconds from one try to the next: eight more within about 24 hours, then the delivery is dead.
RETRY_SECONDS = (10, 30, 120, 600, 1_800, 7_200, 21_600, 54_000)
RETRY_MAX_SECONDS = 24 * 3600
JITTER = 0.1
SECRET_PREFIX = "whsec_"  # noqa: S105 - how the standard marks a secret


class EventType(StrEnum):
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    TEST = "webhook.test"


JOB_EVENTS = (EventType.JOB_SUCCEEDED, EventType.JOB_FAILED, EventType.JOB_CANCELLED)


class WebhookFormat(StrEnum):
    NATIVE = "native"
    BOTBOOM = "botboom"
    TEMPLATE = "template"


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Template:
    """A request in somebody else's words: names of fields (dots nest) and texts with `{placeholders}`."""

    method: str
    body: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an account wants its events. Until `old_secret_until` the secret before the last is valid too."""

    id: str
    account_id: str
    url: str
    events: tuple[str, ...]
    format: WebhookFormat
    secret: str
    created_at: datetime
    template: Template | None = None
    part_characters: int = PART_CHARACTERS
    old_secret: str | None = None
    old_secret_until: datetime | None = None
    enabled: bool = True
    disabled_reason: str | None = None

    def secrets_at(self, now: datetime) -> tuple[str, ...]:
        """What a message is signed with, newest first."""
        if self.old_secret is None or self.old_secret_until is None or self.old_secret_until <= now:
            return (self.secret,)
        return (self.secret, self.old_secret)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one destination. `id` is the event's for the receiver, the same on every try.

    `attempt` counts claims and is the fence; `tries` counts the requests that failed. `parts_sent` of a message in
    parts have arrived. Without an `endpoint_id` it goes to the job's own callback URL.
    """

    id: str
    account_id: str
    event: EventType
    destination: str
    origin: str
    created_at: datetime
    next_at: datetime
    job_id: str | None = None
    endpoint_id: str | None = None
    request_id: str = ""
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempt: int = 0
    tries: int = 0
    parts_sent: int = 0
    last_status: int | None = None
    last_error: str | None = None
    finished_at: datetime | None = None
    subject: Mapping[str, Any] = field(default_factory=dict)


def delivery_id(job_id: str, destination: str) -> str:
    """The same for the same job and destination, whoever asks and however often."""
    return hashlib.sha256(f"{job_id}:{destination}".encode()).hexdigest()[:32]


def callback_destination(account_id: str, url: str) -> str:
    """What is shared by an account's callbacks to one server: they wait for each other and for nobody else's."""
    return f"{account_id}:{hashlib.sha256(origin(url).encode()).hexdigest()[:16]}"


def callback_profile_id(account_id: str) -> str:
    """The endpoint that holds the secret of an account's per-job callbacks."""
    return f"callbacks:{account_id}"


def origin(url: str) -> str:
    """The part of a URL that is no secret. Of URLs that have been checked."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def masked(url: str, kind: WebhookFormat) -> str:
    """The URL without what may be a secret in it: the query, and the path where the receiver keeps its key there."""
    parts = urlsplit(url)
    path = parts.path if kind is WebhookFormat.NATIVE else "/***"
    return f"{origin(url)}{path}" + ("?***" if parts.query else "")


def retry_delay(tries: int, retry_after_seconds: int | None, random: float) -> float | None:
    """Seconds until the next try after so many failed ones, None after the last. `random` is between 0 and 1."""
    if tries > len(RETRY_SECONDS):
        return None
    planned = RETRY_SECONDS[tries - 1] * (1 + JITTER * (2 * random - 1))
    return max(planned, float(min(retry_after_seconds or 0, RETRY_MAX_SECONDS)))


def event_of(job: Job) -> EventType:
    return EventType(f"job.{job.status.value}")


def new_secret() -> str:
    return SECRET_PREFIX + b64encode(secrets.token_bytes(24)).decode()


def sign(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """A signature of Standard Webhooks: `v1,` and the HMAC-SHA256 of id, time and body."""
    key = b64decode(secret.removeprefix(SECRET_PREFIX))
    mac = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{b64encode(mac.digest()).decode()}"
