"""Somebody with a history, for pictures of the web UI: dialogs, payments, a month of usage, a bot, a webhook."""

from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from devstack.stack import Stack

NAME = "vera"
OPERATOR = "desk"
PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
DAYS = 30

DIALOGS = (
    (
        "Как в Python сгруппировать заказы по клиентам?",
        (
            "Проще всего собрать словарь списков:\n\n"
            "```python\nfrom collections import defaultdict\n\norders_of = defaultdict(list)\nfor order in orders:\n"
            "    orders_of[order.client].append(order)\n```\n\n"
            "Если заказы уже **отсортированы** по клиенту, подойдёт и `itertools.groupby`:\n\n"
            "| способ | нужна сортировка | память |\n|---|:-:|---|\n| `defaultdict` | нет | все заказы |\n"
            "| `groupby` | да | одна группа |\n\nДля отчёта по суммам хватит `Counter`."
        ),
    ),
    (
        "Составь план на неделю: хочу начать бегать",
        (
            "## План на первую неделю\n\n1. **Понедельник** — 20 минут быстрой ходьбы\n"
            "2. **Среда** — 5 × (1 минута бега, 2 минуты шага)\n3. **Пятница** — то же, но шесть повторов\n"
            "4. **Воскресенье** — спокойная прогулка 40 минут\n\n"
            "> Если можете говорить на бегу целыми фразами, темп верный."
        ),
    ),
    ("Придумай название для кофейни у моря", "«Прибой», «Солёный кофе», «Третья волна» или «Якорь и зерно»."),
    ("Переведи на французский: «До встречи в понедельник»", "« À lundi ! »"),
    ("Почему небо синее?", "Молекулы воздуха рассеивают короткие волны сильнее длинных — это рассеяние Рэлея."),
)
UNFINISHED = "Объясни, чем процесс отличается от потока"
UNFINISHED_ANSWER = (
    "**Процесс** — это программа со своей памятью. **Поток** живёт внутри процесса и делит память с соседями.\n\n"
    "- процессы изолированы: один упал, другие работают\n- потоки дешевле создавать и быстрее переключать\n"
    "- общая память потоков требует *блокировок*"
)


class Demo:
    """Prepares a stack. The ids are of what paths of pages name: her first dialog, and her account."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.session_id = ""
        self.account_id = ""

    def prepare(self) -> None:
        """Everything at once. Raises AssertionError if the API refuses something."""
        for question, answer in (*DIALOGS, (UNFINISHED, UNFINISHED_ANSWER)):
            held = {"hold": "unfinished", "hold_after_chunks": 24} if question == UNFINISHED else {}
            self._stack.upstream.rule(contains=question, answer=answer, **held)
        body = {"username": NAME, "password": PASSWORD, "first_name": "Вера", "locale": "ru"}
        registered = self._call("POST", "/api/auth/register", "", json=body)
        token, account_id = str(registered["token"]), str(registered["userId"])
        self.account_id = account_id
        self._spend_a_month(account_id)
        self._pay(token, account_id)
        for question, _ in reversed(DIALOGS):
            self.session_id = self._ask(token, question)
        self._programs(token, account_id)
        # Measured anew at the next look, with all of this.
        self._stack.db.figures.delete_many({})

    def _ask(self, token: str, question: str) -> str:
        """The id of the dialog that it began."""
        session = self._call("POST", "/api/chat/sessions", token, json={"title": ""})["session"]
        asked = {"message": question, "sessionId": session["id"]}
        done = self._call("POST", "/api/chat", token, json=asked, headers={"Prefer": "wait=20"})
        assert done["status"] == "succeeded", done
        return str(session["id"])

    def _programs(self, token: str, account_id: str) -> None:
        key = self._call("POST", "/api/keys", token, json={"name": "Бот «Прибой» в Telegram"})["key"]
        self._call("POST", "/api/keys", token, json={"name": "Отчёты в 1С", "expiresInDays": 365})
        code = self._call("POST", "/api/link/code", token)["code"]
        told = {"userId": "483920174", "code": code}
        self._call("POST", "/api/link/confirm", "", json=told, headers={"X-API-Key": key})
        asked = {"message": "Во сколько сегодня закат в Сочи?", "userId": told["userId"]}
        self._call("POST", "/api/chat", "", json=asked, headers={"X-API-Key": key, "Prefer": "wait=20"})
        # Only of answers that are ready, and all questions were asked before: nothing is ever sent there.
        shop = {"url": "https://shop.example.com/talkmeter", "events": ["job.succeeded"]}
        template = {"fields": {"contact_id": "{metadata.contact}", "variables.answer": "{text}"}}
        funnel = {**shop, "url": "https://funnel.example.com/hook", "format": "template", "template": template}
        webhook = self._call("POST", "/api/webhooks", token, json=shop)
        self._call("POST", "/api/webhooks", token, json=funnel)
        self._stack.db.deliveries.insert_many(_deliveries(account_id, str(webhook["id"])))

    def _pay(self, token: str, account_id: str) -> None:
        """A payment by the provider of development, and what the desk put right."""
        ordered = self._call("POST", "/api/billing/topup", token, json={"amount": 1_000_000, "unit": "tokens"})
        requests.post(ordered["confirmationUrl"], data={"decision": "pay"}, timeout=30).raise_for_status()
        root = self._call("POST", "/api/auth/register", "", json={"username": OPERATOR, "password": PASSWORD})
        self._stack.db.accounts.update_one({"_id": root["userId"]}, {"$set": {"role": "admin"}})
        adjusted = {"delta": 20_000, "reason": "Компенсация за простой 12 ноября"}
        self._call("POST", f"/api/admin/user/{account_id}/adjust", str(root["token"]), json=adjusted)

    def _spend_a_month(self, account_id: str) -> None:
        today = datetime.now(UTC).date()
        rows: list[dict[str, Any]] = []
        for ago in range(1, DAYS):
            day = (today - timedelta(days=ago)).isoformat()
            for model, share in (("default", 3), ("smart", 1)):
                jobs = share * (ago * 7 % 11) // 2
                if jobs:
                    rows.append(_usage(account_id, day, model, jobs, 240 + ago * 13 % 90))
        self._stack.db.usage.insert_many(rows)

    def _call(self, method: str, path: str, token: str, **options: Any) -> dict[str, Any]:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        reply = requests.request(method, f"{self._stack.web.url}{path}", headers=headers, timeout=30, **options)
        assert reply.ok, reply.text
        body: dict[str, Any] = reply.json()
        return body


def _usage(account_id: str, day: str, model: str, jobs: int, tokens: int) -> dict[str, Any]:
    prompt, completion = jobs * tokens, jobs * tokens * 2
    return {
        "_id": f"{account_id}:{day}:{model}",
        "account_id": account_id,
        "day": day,
        "model": model,
        "jobs": jobs,
        "failed": 0,
        "prompt_tokens": prompt,
        "cached_tokens": 0,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "charged": prompt + completion,
    }


def _deliveries(account_id: str, webhook_id: str) -> list[dict[str, Any]]:
    """The last of them: two that arrived and one that never did."""
    outcomes = (("delivered", 1, 200, None), ("dead", 9, 503, "http_status"), ("delivered", 2, 204, None))
    now = datetime.now(UTC)
    return [
        {
            "_id": f"demo{number}",
            "account_id": account_id,
            "event": "job.succeeded",
            "destination": webhook_id,
            "origin": "https://shop.example.com",
            "job_id": None,
            "endpoint_id": webhook_id,
            "request_id": "",
            "status": status,
            "attempt": tries,
            "tries": tries,
            "parts_sent": 0,
            "next_at": now,
            "last_status": code,
            "last_error": error,
            "created_at": now - timedelta(hours=3 * number, minutes=7 * number),
            "finished_at": now,
            "subject": {},
        }
        for number, (status, tries, code, error) in enumerate(outcomes)
    ]
