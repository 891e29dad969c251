"""The adapters of one process: everything that talks to a server or a library on behalf of the use cases."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from celery import Celery
from pymongo import MongoClient
from redis import Redis

from service.adapters.celery_app import publisher_app
from service.adapters.crash import CrashPoints
from service.adapters.metrics import Metrics
from service.adapters.mongo import connection
from service.adapters.mongo.account_erasures import MongoAccountErasures
from service.adapters.mongo.accounts import MongoAccounts
from service.adapters.mongo.branches import MongoBranches
from service.adapters.mongo.catalog import MongoCatalog
from service.adapters.mongo.catalog_desk import MongoCatalogDesk, MongoProviderNews
from service.adapters.mongo.deliveries import MongoDeliveries
from service.adapters.mongo.dialogs import MongoDialogs
from service.adapters.mongo.endpoints import MongoEndpoints
from service.adapters.mongo.erasures import MongoErasures, erase_track
from service.adapters.mongo.jobs import MongoJobs
from service.adapters.mongo.links import MongoLinks
from service.adapters.mongo.money import MongoMoney
from service.adapters.mongo.payments import MongoPayments
from service.adapters.mongo.redeem_codes import MongoRedeemCodes
from service.adapters.mongo.reports import MongoReports
from service.adapters.mongo.request_counts import MongoRequestCounts
from service.adapters.mongo.search import MongoSearch
from service.adapters.mongo.tracks import MongoTracks
from service.adapters.mongo.transcripts import MongoTranscripts
from service.adapters.mongo.tutor_configs import MongoTutorConfigs
from service.adapters.openai.upstream import OpenAIUpstream
from service.adapters.outages import OUTAGES
from service.adapters.payments.manual import ManualPayments
from service.adapters.payments.testpay import TestPay
from service.adapters.payments.yookassa import YooKassa
from service.adapters.queue import CeleryDeliveryBell, CeleryDoorbell
from service.adapters.redis.breaker import RedisBreaker
from service.adapters.redis.client import BestEffort
from service.adapters.redis.client import connect as connect_redis
from service.adapters.redis.events import RedisJobEvents
from service.adapters.redis.followers import RedisAnswerFollowers
from service.adapters.redis.limits import RedisRateLimits
from service.adapters.redis.open_jobs import RedisOpenJobs
from service.adapters.redis.pauses import RedisPauses
from service.adapters.redis.streams import RedisAnswerWriter
from service.adapters.tracing import Spans, TracedMetrics
from service.adapters.traffic import BackgroundTraffic
from service.adapters.webhook_http import WebhookHttp
from service.adapters.withdrawals import BackgroundWithdrawals
from service.domain.payments import ProviderName
from service.settings import AppEnv, Settings
from service.usecases import ports


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True)
class Outside:
    """The adapters of one process."""

    mongo: MongoClient[dict[str, Any]]
    redis: "Redis[bytes]"
    celery: Celery
    metrics: Metrics
    money: ports.Money
    accounts: ports.Accounts
    jobs: ports.Jobs
    dialogs: ports.Dialogs
    branches: ports.Branches
    search: ports.Search
    transcripts: ports.Transcripts
    erasures: ports.Erasures
    account_erasures: ports.AccountErasures
    catalog: ports.Catalog
    catalog_desk: ports.CatalogDesk
    provider_news: ports.ProviderNewsStore
    reports: MongoReports
    request_counts: ports.RequestCounts
    traffic: ports.Traffic
    rate_limits: ports.RateLimits
    pauses: ports.Pauses
    open_jobs: ports.OpenJobs
    breaker: ports.Breaker
    doorbell: ports.Doorbell
    delivery_bell: ports.DeliveryBell
    deliveries: ports.Deliveries
    endpoints: ports.Endpoints
    links: ports.Links
    tracks: ports.Tracks
    tutor_configs: ports.TutorConfigs
    webhook_sender: ports.WebhookSender
    payments: ports.Payments
    redeem_codes: ports.RedeemCodes
    payment_providers: Mapping[ProviderName, ports.PaymentProvider]
    test_payments: ports.TestPayments | None
    events: ports.JobEvents
    answer_writer: ports.AnswerWriter
    answer_followers: ports.AnswerFollowers
    upstream: ports.Upstream
    withdrawals: ports.Withdrawals
    clock: ports.Clock
    worker_id: str


def connect(settings: Settings) -> Outside:
    redis_url = settings.redis_url.get_secret_value()
    redis, celery, best_effort = connect_redis(redis_url), publisher_app(redis_url), BestEffort()
    crash = CrashPoints(settings.crash_file)
    mongo = connection.connect(
        settings.mongodb_uri.get_secret_value(), timeout_seconds=settings.mongodb_timeout_seconds
    )
    transactions = connection.Transactions(
        mongo, timeout_seconds=settings.mongodb_timeout_seconds, before_commit=crash.at("transaction.commit:before")
    )
    clock = SystemClock()
    money = MongoMoney(transactions, settings.plan_policy, clock)
    request_counts = MongoRequestCounts()
    catalog = MongoCatalog(settings.openai_model)
    metrics, breaker = _metrics(settings), RedisBreaker(redis, best_effort)
    jobs: ports.Jobs = crash.armed(MongoJobs(), "jobs")
    events: ports.JobEvents = crash.armed(RedisJobEvents(redis, best_effort, jobs, OUTAGES), "events")
    upstream = OpenAIUpstream(
        base_url=settings.openai_base_url,
        api_keys=settings.openai_keys,
        read_timeout_seconds=settings.openai_read_timeout_seconds,
        deadline_seconds=settings.job_deadline_seconds,
        breaker=breaker,
        telemetry=metrics,
    )
    armed_money = crash.armed(money, "money")
    test_pay = TestPay(settings.public_root) if settings.app_env is AppEnv.DEVELOPMENT else None
    return Outside(
        mongo=mongo,
        redis=redis,
        celery=celery,
        metrics=metrics,
        money=armed_money,
        accounts=MongoAccounts(transactions, money),
        jobs=jobs,
        dialogs=MongoDialogs(transactions),
        branches=MongoBranches(transactions),
        search=MongoSearch(),
        transcripts=MongoTranscripts(),
        account_erasures=crash.armed(MongoAccountErasures(transactions, money), "account_erasures"),
        erasures=crash.armed(MongoErasures(transactions), "erasures"),
        catalog=catalog,
        catalog_desk=MongoCatalogDesk(catalog, transactions),
        provider_news=MongoProviderNews(),
        reports=MongoReports(),
        request_counts=request_counts,
        traffic=BackgroundTraffic(counts=request_counts, clock=clock, outages=OUTAGES),
        rate_limits=RedisRateLimits(redis_url, best_effort),
        pauses=RedisPauses(redis, best_effort),
        open_jobs=RedisOpenJobs(redis, best_effort),
        breaker=breaker,
        doorbell=crash.armed(CeleryDoorbell(celery, redis, best_effort), "doorbell"),
        delivery_bell=crash.armed(CeleryDeliveryBell(celery, redis, best_effort), "delivery_bell"),
        deliveries=crash.armed(MongoDeliveries(), "deliveries"),
        endpoints=MongoEndpoints(),
        links=crash.armed(MongoLinks(transactions, money), "links"),
        tracks=crash.armed(MongoTracks(transactions, erase_dialogs=erase_track), "tracks"),
        tutor_configs=MongoTutorConfigs(),
        webhook_sender=crash.armed(
            WebhookHttp(settings.callback_policy, timeout_seconds=settings.webhook_timeout_seconds), "webhook_sender"
        ),
        events=events,
        answer_writer=crash.armed(RedisAnswerWriter(redis, best_effort), "answer_writer"),
        answer_followers=RedisAnswerFollowers(redis_url, redis, best_effort, events),
        payments=crash.armed(MongoPayments(transactions, money), "payments"),
        redeem_codes=crash.armed(MongoRedeemCodes(transactions, money), "redeem_codes"),
        payment_providers={
            name: crash.armed(provider, "payment_provider") for name, provider in _providers(settings, test_pay).items()
        },
        test_payments=test_pay,
        upstream=crash.armed(upstream, "upstream"),
        withdrawals=BackgroundWithdrawals(jobs=jobs, money=armed_money, outages=OUTAGES),
        clock=clock,
        worker_id=f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}",
    )


def _metrics(settings: Settings) -> Metrics:
    if not settings.tracing_url:
        return Metrics()
    return TracedMetrics(Spans(settings.tracing_url, "talkmeter"))


def _providers(settings: Settings, test_pay: TestPay | None) -> dict[ProviderName, ports.PaymentProvider]:
    """All that are configured: payments of one that takes no new ones any more still come to their end."""
    providers: dict[ProviderName, ports.PaymentProvider] = {ProviderName.MANUAL: ManualPayments(settings.top_up_url)}
    if settings.has_yookassa:
        providers[ProviderName.YOOKASSA] = YooKassa(
            api_url=settings.yookassa_api_url,
            shop_id=settings.yookassa_shop_id,
            secret_key=settings.yookassa_secret_key.get_secret_value(),
            timeout_seconds=settings.yookassa_timeout_seconds,
        )
    if test_pay is not None:
        providers[ProviderName.TEST] = test_pay
    return providers
