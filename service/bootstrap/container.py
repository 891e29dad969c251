"""Builds the object graph once per process (after any fork). Web, workers, command line and tests use the same one.

Nothing here connects: servers that are away are noticed by the first call that needs them.
"""

from dataclasses import dataclass
from datetime import timedelta

from celery import Celery

from service.adapters.health import Health
from service.adapters.metrics import Metrics
from service.adapters.mongo.audit import MongoAudit
from service.adapters.mongo.idempotency import MongoIdempotency
from service.adapters.mongo.keys import MongoKeys
from service.adapters.mongo.leases import MongoLeases
from service.adapters.mongo.reports import MongoFigures
from service.adapters.outages import OUTAGES
from service.adapters.passwords import Argon2Passwords
from service.adapters.runs import LEASE_RENEWALS, LeasedRuns
from service.adapters.tokenizer import count_tokens, encoding
from service.bootstrap.catalog import Catalogs, connect_catalog
from service.bootstrap.learning import connect_learning
from service.bootstrap.outside import Outside, connect
from service.bootstrap.paying import Paying, connect_payments
from service.settings import Settings
from service.usecases import ports
from service.usecases.accounts import AccountPolicy, AccountService
from service.usecases.admin import AdminService
from service.usecases.audit import Auditor
from service.usecases.billing import BillingService
from service.usecases.branches import BranchService
from service.usecases.classroom import ClassroomService
from service.usecases.completions import CompletionService
from service.usecases.connections import Connections
from service.usecases.contexts import ContextService
from service.usecases.courses import CourseService
from service.usecases.deliver import DeliverService
from service.usecases.dialogs import DialogService
from service.usecases.endings import Endings
from service.usecases.erase import EraseService
from service.usecases.export import ExportService
from service.usecases.farewells import FarewellService
from service.usecases.figures import FiguresService
from service.usecases.follow import FollowService
from service.usecases.jobs import ChatLimits, JobService
from service.usecases.keys import KeyService
from service.usecases.limits import AskLimits, DayLimits, Throttle
from service.usecases.links import LinkService
from service.usecases.owners import Owners
from service.usecases.places import Places
from service.usecases.replays import Deposits, Replays
from service.usecases.retries import Retries
from service.usecases.run import RunService
from service.usecases.search import SearchService
from service.usecases.talks import TalkService
from service.usecases.tracks import TrackService
from service.usecases.tutor import TutorService
from service.usecases.upkeep import UpkeepService
from service.usecases.webhooks import WebhookService

# Longer than a round of upkeep takes, short enough that another worker soon follows one that died.
UPKEEP_LEASE_SECONDS = 5
# Beyond the time that one request may take.
DELIVERY_LEASE_MARGIN_SECONDS = 3


@dataclass(frozen=True)
class Container:
    """What entry points use. `run`, `deliver`, `upkeep`, `figures`, `paying.sweep` and `catalog.watch` are the
    workers', the rest is the API's."""

    settings: Settings
    accounts: AccountService
    farewells: FarewellService
    keys: KeyService
    jobs: JobService
    follow: FollowService
    catalog: Catalogs
    talks: TalkService
    connections: Connections
    completions: CompletionService
    contexts: ContextService
    dialogs: DialogService
    branches: BranchService
    search: SearchService
    export: ExportService
    erase: EraseService
    billing: BillingService
    admin: AdminService
    webhooks: WebhookService
    paying: Paying
    links: LinkService
    tracks: TrackService
    tutor: TutorService
    courses: CourseService
    classroom: ClassroomService
    run: RunService
    deliver: DeliverService
    upkeep: UpkeepService
    figures: FiguresService
    health: Health
    metrics: Metrics
    traffic: ports.Traffic
    events: ports.JobEvents
    celery: Celery
    outages: tuple[type[Exception], ...] = OUTAGES


def build(settings: Settings) -> Container:
    """Connect lazily and wire everything. Call it after the fork."""
    encoding()  # takes half a second, which no request should pay for
    outside = connect(settings)
    replays = Replays(idempotency=MongoIdempotency())
    deposits = Deposits(money=outside.money, replays=replays)
    auditor = Auditor(trail=MongoAudit(), clock=outside.clock)
    owners = Owners(accounts=outside.accounts, auditor=auditor, clock=outside.clock)
    keys = MongoKeys()
    places = Places(dialogs=outside.dialogs, clock=outside.clock)
    endings = Endings(
        money=outside.money,
        telemetry=outside.metrics,
        open_jobs=outside.open_jobs,
        events=outside.events,
        delivery_bell=outside.delivery_bell,
        history_messages=settings.max_history_length,
    )
    jobs = _job_service(settings, outside, owners, replays, places, endings)
    accounts = _account_service(settings, outside)
    dialogs = DialogService(
        dialogs=outside.dialogs,
        jobs=outside.jobs,
        tracks=outside.tracks,
        owners=owners,
        places=places,
        clock=outside.clock,
    )
    erase = EraseService(
        erasures=outside.erasures,
        accounts=outside.account_erasures,
        dialogs=dialogs,
        jobs=jobs,
        writer=outside.answer_writer,
        telemetry=outside.metrics,
        clock=outside.clock,
        outages=OUTAGES,
    )
    figures = FiguresService(
        accounts=outside.accounts,
        usage=outside.reports,
        requests=outside.request_counts,
        balances=outside.reports,
        figures=MongoFigures(),
        leases=MongoLeases(),
        clock=outside.clock,
        holder=outside.worker_id,
    )
    learning = connect_learning(outside, owners=owners, jobs=jobs, places=places)
    return Container(
        settings=settings,
        accounts=accounts,
        keys=KeyService(
            keys=keys,
            accounts=outside.accounts,
            catalog=outside.catalog,
            auditor=auditor,
            clock=outside.clock,
        ),
        jobs=jobs,
        follow=FollowService(
            jobs=outside.jobs,
            events=outside.events,
            followers=outside.answer_followers,
            telemetry=outside.metrics,
            clock=outside.clock,
        ),
        catalog=connect_catalog(outside, auditor=auditor),
        talks=TalkService(
            jobs=jobs,
            places=places,
            pauses=outside.pauses,
            pause_milliseconds=settings.rate_limit_ms,
        ),
        connections=Connections(
            per_account=settings.max_connections_per_account,
            per_key=settings.key_max_connections,
            telemetry=outside.metrics,
        ),
        completions=CompletionService(
            jobs=jobs, catalog=outside.catalog, clock=outside.clock, count_tokens=count_tokens
        ),
        contexts=ContextService(
            dialogs=outside.dialogs,
            places=places,
            catalog=outside.catalog,
            owners=owners,
            count_tokens=count_tokens,
            history_messages=settings.max_history_length,
        ),
        dialogs=dialogs,
        branches=BranchService(
            store=outside.dialogs,
            branches=outside.branches,
            dialogs=dialogs,
            jobs=jobs,
            job_store=outside.jobs,
            classroom=learning.classroom,
            history_messages=settings.max_history_length,
        ),
        search=SearchService(owners=owners, search=outside.search),
        farewells=FarewellService(accounts=accounts, store=outside.accounts, erase=erase, auditor=auditor),
        export=ExportService(
            dialogs=dialogs, store=outside.dialogs, transcripts=outside.transcripts, clock=outside.clock
        ),
        erase=erase,
        billing=BillingService(
            owners=owners, accounts=outside.accounts, money=outside.money, deposits=deposits, usage=outside.reports
        ),
        admin=AdminService(
            accounts=outside.accounts,
            money=outside.money,
            deposits=deposits,
            dialogs=outside.dialogs,
            jobs=outside.jobs,
            job_service=jobs,
            retries=Retries(accounts=outside.accounts, catalog=outside.catalog, tutor=learning.tutor),
            figures=figures,
            auditor=auditor,
        ),
        figures=figures,
        webhooks=WebhookService(
            owners=owners,
            auditor=auditor,
            endpoints=outside.endpoints,
            deliveries=outside.deliveries,
            bell=outside.delivery_bell,
            policy=settings.callback_policy,
            clock=outside.clock,
        ),
        paying=connect_payments(settings, outside, owners=owners, replays=replays, auditor=auditor),
        links=LinkService(
            links=outside.links,
            keys=keys,
            accounts=outside.accounts,
            money=outside.money,
            owners=owners,
            rate_limits=outside.rate_limits,
            telemetry=outside.metrics,
            clock=outside.clock,
            secret=settings.jwt_secret_key.get_secret_value(),
        ),
        tracks=learning.tracks,
        tutor=learning.tutor,
        courses=learning.courses,
        classroom=learning.classroom,
        run=_run_service(settings, outside, endings),
        deliver=DeliverService(
            deliveries=outside.deliveries,
            endpoints=outside.endpoints,
            jobs=outside.jobs,
            sender=outside.webhook_sender,
            bell=outside.delivery_bell,
            telemetry=outside.metrics,
            clock=outside.clock,
            outages=OUTAGES,
            worker_id=outside.worker_id,
            lease_seconds=int(settings.webhook_timeout_seconds) + DELIVERY_LEASE_MARGIN_SECONDS,
        ),
        upkeep=UpkeepService(
            jobs=outside.jobs,
            endings=endings,
            writer=outside.answer_writer,
            leases=MongoLeases(),
            doorbell=outside.doorbell,
            deliveries=outside.deliveries,
            delivery_bell=outside.delivery_bell,
            erase=erase,
            outages=OUTAGES,
            holder=outside.worker_id,
            lease_seconds=UPKEEP_LEASE_SECONDS,
            renewal_seconds=settings.job_lease_seconds / LEASE_RENEWALS,
        ),
        health=Health(
            mongo=outside.mongo, redis=outside.redis, breaker=outside.breaker, standin=settings.openai_standin
        ),
        metrics=outside.metrics,
        traffic=outside.traffic,
        events=outside.events,
        celery=outside.celery,
    )


def _account_service(settings: Settings, outside: Outside) -> AccountService:
    return AccountService(
        accounts=outside.accounts,
        passwords=Argon2Passwords(
            time_cost=settings.argon2_time_cost,
            memory_kib=settings.argon2_memory_kib,
            parallelism=settings.argon2_parallelism,
        ),
        rate_limits=outside.rate_limits,
        clock=outside.clock,
        policy=AccountPolicy(
            signup_tokens=settings.signup_tokens or 0,
            guest_tokens=settings.guest_tokens,
            allow_guests=bool(settings.allow_guests),
            signups_per_hour_and_address=settings.signups_per_hour or 0,
            refresh_life=timedelta(days=settings.jwt_refresh_days),
        ),
    )


def _job_service(
    settings: Settings, outside: Outside, owners: Owners, replays: Replays, places: Places, endings: Endings
) -> JobService:
    return JobService(
        owners=owners,
        jobs=outside.jobs,
        money=outside.money,
        endings=endings,
        places=places,
        accounts=outside.accounts,
        catalog=outside.catalog,
        replays=replays,
        throttle=Throttle(
            rate_limits=outside.rate_limits,
            open_jobs=outside.open_jobs,
            jobs=outside.jobs,
            limits=AskLimits(
                account_questions=settings.rate_limit_per_minute,
                account_tokens=settings.tokens_per_minute,
                key_questions=settings.key_rate_limit_per_minute,
                key_tokens=settings.key_tokens_per_minute,
                model_questions=settings.model_rate_limit_per_minute,
                model_tokens=settings.model_tokens_per_minute,
                account_jobs=settings.max_open_jobs,
                key_jobs=settings.key_max_open_jobs,
                model_jobs=settings.model_max_open_jobs,
            ),
            days=DayLimits(
                guest=settings.guest_messages_per_day,
                guest_address=settings.guest_messages_per_day_and_address,
                unlimited=settings.fair_use_per_day,
            ),
        ),
        breaker=outside.breaker,
        doorbell=outside.doorbell,
        events=outside.events,
        telemetry=outside.metrics,
        clock=outside.clock,
        count_tokens=count_tokens,
        limits=ChatLimits(
            history_messages=settings.max_history_length,
            queue_length=settings.max_queue_length,
        ),
        callback_policy=settings.callback_policy,
        withdrawals=outside.withdrawals,
        outages=OUTAGES,
    )


def _run_service(settings: Settings, outside: Outside, endings: Endings) -> RunService:
    return RunService(
        jobs=outside.jobs,
        endings=endings,
        catalog=outside.catalog,
        upstream=outside.upstream,
        runs=LeasedRuns(
            jobs=outside.jobs,
            worker_id=outside.worker_id,
            lease_seconds=settings.job_lease_seconds,
            deadline_seconds=settings.job_deadline_seconds,
            outages=OUTAGES,
        ),
        writer=outside.answer_writer,
        doorbell=outside.doorbell,
        telemetry=outside.metrics,
        clock=outside.clock,
        outages=OUTAGES,
        count_tokens=count_tokens,
        worker_id=outside.worker_id,
        lease_seconds=settings.job_lease_seconds,
        grace_seconds=settings.worker_grace_seconds,
    )
