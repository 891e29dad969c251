"""What a failed job is asked again as: the same question to the same briefing, with the same consequences.

What the assistant was told is the job's, for much of it is in no catalog: the course, the module, the language. Model,
limits and price are those of now, as of any new job, so that a retry helps after a repair.
"""

from dataclasses import replace

from service.domain.accounts import Role
from service.domain.catalog import Assistant
from service.domain.errors import AccountBlocked, NotFound, ValidationFailed
from service.domain.jobs import Job, JobStatus
from service.domain.tutor import TUTOR
from service.usecases import ports
from service.usecases.jobs import Submission
from service.usecases.owners import Party
from service.usecases.places import Named
from service.usecases.tutor import TutorService


class Retries:
    def __init__(self, *, accounts: ports.Accounts, catalog: ports.Catalog, tutor: TutorService) -> None:
        self._accounts = accounts
        self._catalog = catalog
        self._tutor = tutor

    def of(self, job: Job) -> tuple[Party, Submission]:
        """For whom and what to ask again; the same idempotency key each time.

        Raises ValidationFailed unless it failed, was not erased, was said in a dialog, and link and assistant are
        still there; AccountBlocked, NotFound for its account.
        """
        _check(job)
        account = self._accounts.get(job.account_id)
        if account is None:
            raise NotFound("account")
        if account.blocked:
            raise AccountBlocked()
        self._check_link(job)
        party = Party(
            account_id=job.account_id,
            dialog_id=job.chat_id,
            end_user_id=job.end_user_id,
            external_user_id=job.external_user_id,
            program_id=job.program_id,
            locale=job.locale,
            is_guest=account.role is Role.GUEST,
        )
        return party, self._submission(party, job)

    def _submission(self, party: Party, job: Job) -> Submission:
        # No client's key has a space.
        once = f"retry {job.id}"
        return Submission(
            message=job.message.content,
            channel=job.channel,
            assistant=self._assistant(party, job),
            context=job.prompt[1:-1] if job.replaces_context else None,
            metadata=job.metadata,
            idempotency=ports.IdempotencyKey(account_id=job.account_id, key=once, fingerprint=once),
            callback_url=job.callback_url,
            stream=job.stream,
            place=Named(job.chat_id) if job.exclusive and job.chat_id is not None else None,
            fork=job.fork,
            applies=job.applies,
            unasked=job.unasked,
        )

    def _assistant(self, party: Party, job: Job) -> Assistant:
        """As it was told then, and as its user wants the tutor to be now. Raises ValidationFailed if it is gone."""
        if job.assistant == TUTOR:
            found: Assistant | None = self._tutor.assistant_for(party)
        else:
            found = self._catalog.assistant(job.assistant)
        if found is None:
            raise ValidationFailed(details={"assistant": ["unknown_assistant"]})
        return replace(found, persona=job.prompt[0].content, response_format=job.output_format)

    def _check_link(self, job: Job) -> None:
        """A linked end user asks for the account while the link stands. Raises ValidationFailed, AccountBlocked."""
        if job.end_user_id in (None, job.account_id):
            return
        end_user = self._accounts.get(job.end_user_id)
        if end_user is None or end_user.linked_account_id != job.account_id:
            raise ValidationFailed(details={"jobId": ["link_ended"]})
        if end_user.blocked:
            raise AccountBlocked()


def _check(job: Job) -> None:
    if job.erased_at is not None:
        raise ValidationFailed(details={"jobId": ["job_erased"]})
    if job.status is not JobStatus.FAILED:
        raise ValidationFailed(details={"jobId": ["job_not_failed"]})
    if job.chat_id is None:
        # Of a program that brings its whole prompt, or a plan or a lesson: whoever asked knows if it is still wanted.
        raise ValidationFailed(details={"jobId": ["job_without_dialog"]})
