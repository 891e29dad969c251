"""The stack of the tests, and a client of its API."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

import requests
from redis import Redis

from devstack.stack import Stack
from devstack.yookassa import SECRET_KEY, SHOP_ID
from devstack.yookassa_control import YooKassaControl, YooKassaServer
from service.adapters.celery_app import publisher_app
from service.adapters.queue import CHAT_QUEUE, RUN_JOB_TASK

T = TypeVar("T")
POLL_SECONDS = 0.05
PASSWORD = "long enough"


def eventually(condition: Callable[[], T], timeout_seconds: float = 20.0) -> T:
    """The first true value of `condition`; fails when there is none in time."""
    deadline = time.monotonic() + timeout_seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_seconds} s; last value: {value!r}"
        pause.wait(POLL_SECONDS)


class StackUnderTest(Stack):
    """A stack with a local YooKassa, and the means to look into Redis and to send what a broker might."""

    def __init__(self, directory: Path, *, workers: int, **settings: str) -> None:
        self.crash_file = directory / "crash"
        self.yookassa_server = YooKassaServer(directory / "yookassa")
        super().__init__(
            directory,
            workers=workers,
            crash_file=str(self.crash_file),
            webhook_allowed_hosts="127.0.0.1",
            webhook_timeout_seconds="1",
            payment_provider="yookassa",
            yookassa_shop_id=SHOP_ID,
            yookassa_secret_key=SECRET_KEY,
            yookassa_api_url=self.yookassa_server.api_url,
            yookassa_timeout_seconds="2",
            **settings,
        )

    def __enter__(self) -> Self:
        self.yookassa_server.start()
        super().__enter__()
        self.yookassa.notify_at(f"{self.web.url}/api/payments/yookassa/notifications")
        self.redis_client = Redis.from_url(self.redis.uri)
        self._celery = publisher_app(self.redis.uri)
        return self

    def __exit__(self, *exception: object) -> None:
        self.redis_client.close()
        super().__exit__(*exception)
        self.yookassa_server.stop()

    @property
    def yookassa(self) -> YooKassaControl:
        return self.yookassa_server.control

    def ring(self, job_id: str) -> None:
        """Send a worker one more message about a job."""
        self._celery.send_task(RUN_JOB_TASK, args=[job_id], queue=CHAT_QUEUE)

    def register(self) -> "Person":
        """A new account with the development allowance."""
        body = {"username": f"user-{uuid4().hex[:12]}", "password": PASSWORD}
        reply = requests.post(f"{self.web.url}/api/auth/register", json=body, timeout=10)
        assert reply.status_code == 201, reply.text
        return Person(self.web.url, reply.json()["userId"], reply.json()["token"])

    def twin(self, person: "Person") -> "Person":
        """A new account of the same role, to do what would end this one."""
        twin, role = self.register(), self.db.accounts.find_one({"_id": person.account_id})
        self.db.accounts.update_one({"_id": twin.account_id}, {"$set": {"role": (role or {})["role"]}})
        return twin


class Person:
    """Somebody with an account, who talks to the API over HTTP."""

    def __init__(self, url: str, account_id: str, token: str) -> None:
        self.account_id = account_id
        self.token = token
        self._url = url
        self._http = requests.Session()
        if token:
            self._http.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._http.request(method, f"{self._url}{path}", **{"timeout": 60, **options})

    def submit(self, message: str, **body: Any) -> str:
        """The id of a job that the API accepted."""
        reply = self.call("POST", "/api/chat", json={"message": message, **body})
        assert reply.status_code == 202, reply.text
        return str(reply.json()["jobId"])

    def ask(self, message: str, *, key: str, **body: Any) -> requests.Response:
        """One try with an idempotency key, whatever comes of it."""
        headers = {"Idempotency-Key": key}
        return self.call("POST", "/api/chat", json={"message": message, **body}, headers=headers, timeout=10)

    def job(self, job_id: str, wait: int = 0) -> dict[str, Any]:
        reply = self.call("GET", f"/api/chat/jobs/{job_id}", params={"wait": wait})
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def final(self, job_id: str, timeout_seconds: float = 30.0) -> dict[str, Any]:
        """The job when it is final."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id, wait=1)
            return job if job["status"] in ("succeeded", "failed", "cancelled") else None

        return eventually(look, timeout_seconds) or {}

    def new_key(self, *scopes: str, **fields: Any) -> "Program":
        """A program with a key of this person's."""
        reply = self.call("POST", "/api/keys", json={"name": "program", "scopes": scopes, **fields})
        assert reply.status_code == 201, reply.text
        return Program(self._url, self.account_id, reply.json()["keyId"], reply.json()["key"])

    def billing(self) -> dict[str, Any]:
        return dict(self.call("GET", "/api/billing").json())


class Program(Person):
    """A client with an API key of somebody's."""

    def __init__(self, url: str, account_id: str, key_id: str, secret: str) -> None:
        super().__init__(url, account_id, "")
        self.key_id = key_id
        self.secret = secret
        self._http.headers["X-API-Key"] = secret
