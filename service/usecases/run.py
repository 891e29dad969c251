"""What a worker does with a job: claim it, ask the provider, settle."""

import hashlib
from dataclasses import replace

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from service.domain.chat import CountTokens, Usage
from service.domain.errors import InternalError, ServiceError, UpstreamFailed
from service.domain.jobs import INTERRUPTED, Job, JobStatus, Outcome, cancelled, charge_for, failed
from service.usecases import ports, structured
from service.usecases.endings import Endings
from service.usecases.showing import ClaimLost, Showing

log = structlog.get_logger(__name__)

# A database that comes back within this time still gets the answer; after it the lease's end decides.
SETTLE_PATIENCE_SECONDS = 60


class RunService:
    def __init__(
        self,
        *,
        jobs: ports.Jobs,
        endings: Endings,
        catalog: ports.Catalog,
        upstream: ports.Upstream,
        runs: ports.Runs,
        writer: ports.AnswerWriter,
        doorbell: ports.Doorbell,
        telemetry: ports.Telemetry,
        clock: ports.Clock,
        outages: tuple[type[Exception], ...],
        count_tokens: CountTokens,
        worker_id: str,
        lease_seconds: int,
        grace_seconds: float,
    ) -> None:
        self._jobs = jobs
        self._endings = endings
        self._catalog = catalog
        self._upstream = upstream
        self._runs = runs
        self._writer = writer
        self._doorbell = doorbell
        self._telemetry = telemetry
        self._clock = clock
        self._outages = outages
        self._count = count_tokens
        self._worker_id = worker_id
        self._lease_seconds = lease_seconds
        self._grace_seconds = grace_seconds

    def __call__(self, job_id: str) -> Job | None:
        """Run a queued job to its end; None if there was nothing to do or the run lost its claim."""
        if self._runs.is_leaving():
            self._doorbell.ring([job_id])
            return None
        job = self._jobs.claim(job_id, self._worker_id, self._lease_seconds)
        if job is None:
            log.debug("nothing to run", job_id=job_id)
            return None
        names = {"job_id": job.id, "request_id": job.request_id, "attempt": job.attempt}
        # Until it is settled: an answer that waits for the database to come back must not be bought again.
        with structlog.contextvars.bound_contextvars(**names), self._runs.leased(job):
            log.info("job started", model=job.model)
            showing = self._showing(job)
            try:
                return self._settle_anyhow(job, self._outcome(job, showing))
            except ClaimLost:
                log.warning("run lost its claim", outcome="nothing shown")
                return None
            except ports.RunHandedBack:
                return self._hand_back(job, showing.shown)
            finally:
                showing.end()

    def leave(self) -> None:
        """This process ends: finish what ends within the grace period, and hand the rest to others."""
        self._runs.leave(self._grace_seconds)

    def _showing(self, job: Job) -> Showing:
        return Showing(
            job,
            jobs=self._jobs,
            writer=self._writer,
            telemetry=self._telemetry,
            clock=self._clock,
            outages=self._outages,
        )

    def _settle_anyhow(self, job: Job, outcome: Outcome) -> Job | None:
        try:
            return self._settle(job, outcome)
        except self._outages:
            raise
        except Exception:
            # An answer that can't be stored would be bought again by the next attempt, and the one after it.
            log.exception("outcome can't be stored")
            return self._settle(job, failed(InternalError.code))

    def _outcome(self, job: Job, showing: Showing) -> Outcome:
        try:
            answer = self._runs.run(job, lambda: self._ask(job, showing))
        except ports.RunCancelled:
            return self._cut_short(job, showing.shown)
        except ServiceError as error:
            log.warning("job failed", error_code=error.code, reason=str(error))
            reason = error.reason if isinstance(error, UpstreamFailed) else None
            return failed(error.code, showing.shown, reason)
        except (ClaimLost, ports.RunHandedBack):
            raise
        except self._outages:
            raise
        except Exception:
            # A defect of ours must still end the job: it costs the account nothing and shows in the log.
            log.exception("job broke")
            return failed(InternalError.code, showing.shown)
        usage = answer.usage or self._estimate(job, answer.text)
        return Outcome(
            status=JobStatus.SUCCEEDED,
            charge=charge_for(job, usage),
            answer=answer.text,
            usage=usage,
            finish_reason=answer.finish_reason,
        )

    def _hand_back(self, job: Job, shown: str | None) -> Job | None:
        """This process ends: another one runs the job, unless somebody has seen the beginning of this answer."""
        if shown is not None:
            return self._settle_anyhow(job, failed(INTERRUPTED, shown))
        if self._jobs.hand_back(job):
            log.info("job handed back")
            self._doorbell.ring([job.id])
            return None
        current = self._jobs.get(job.id)
        if current is None or (current.status, current.attempt) != (JobStatus.RUNNING, job.attempt):
            return None
        # Cancelled, or shown, at the same moment.
        ended = self._cut_short(job, current.shown) if current.cancel_requested else failed(INTERRUPTED, current.shown)
        return self._settle_anyhow(job, ended)

    def _cut_short(self, job: Job, shown: str | None) -> Outcome:
        """Cancelled: what was shown until then is paid for, by our own count, because the provider tells none."""
        if shown is None:
            return cancelled()
        usage = self._estimate(job, shown)
        return replace(cancelled(shown), usage=usage, charge=charge_for(job, usage))

    def _ask(self, job: Job, showing: Showing) -> ports.ChatAnswer:
        model = self._catalog.model(job.model)
        if model is None:
            raise UpstreamFailed(f"model {job.model} is not on offer any more")
        request = ports.ChatRequest(
            model=model,
            upstream_model=job.upstream_model,
            messages=job.prompt,
            output_tokens=job.output_tokens,
            temperature=job.temperature,
            request_id=job.request_id,
            safety_id=hashlib.sha256(job.account_id.encode()).hexdigest(),
            options=job.options,
        )
        if job.output_format is not None:
            return structured.ask(self._upstream, request, job.output_format, self._telemetry)
        return self._upstream.stream(request, showing) if job.stream else self._upstream.answer(request)

    def _settle(self, job: Job, outcome: Outcome) -> Job | None:
        settled: Job | None = None
        for attempt in Retrying(
            retry=retry_if_exception_type(self._outages),
            stop=stop_after_delay(SETTLE_PATIENCE_SECONDS),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            reraise=True,
        ):
            with attempt:
                settled = self._endings.settle(job, outcome)
        if settled is None:
            log.warning("run lost its claim", outcome=outcome.status)
            return None
        if outcome.charge.loss_tokens:
            log.error("provider used more than was held", loss_tokens=outcome.charge.loss_tokens)
        log.info(
            "job settled",
            status=settled.status,
            charged=settled.charged,
            meter=settled.meter,
            error_code=settled.error_code,
        )
        return settled

    def _estimate(self, job: Job, text: str) -> Usage:
        return Usage(
            prompt_tokens=job.prompt_tokens,
            completion_tokens=self._count(text) if text else 0,
            estimated=True,
        )
