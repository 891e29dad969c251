"""Bodies and parameters of `/api/admin`."""

from marshmallow import ValidationError, fields

from service.api.credits import CreditsView
from service.api.fields import Choice, Input, Moment, Output, Record, Text, Whole
from service.api.ledger import EXAMPLE_ENTRY, LedgerEntry
from service.api.schemas import (
    EXAMPLE_CONTEXT,
    EXAMPLE_CURSOR,
    EXAMPLE_ID,
    EXAMPLE_JOB_ID,
    EXAMPLE_TIME,
    EXAMPLE_USAGE_ROW,
    MAX_TOKENS,
    PAGE_ITEMS,
    PAGE_MAX_ITEMS,
    Cursor,
    Id,
    JobSummary,
    NextCursor,
    Success,
    UsageRow,
)
from service.domain.accounts import Role
from service.domain.plans import Plan
from service.usecases.admin import LIST_ROWS

PLANS = tuple(Plan)
REASON_MAX_CHARACTERS = 500
MAX_CREDITS = 10**6
MAX_PAGE = LIST_ROWS
# What may be sorted by, as clients and as the store call it.
SORT_FIELDS = {"createdAt": "created_at", "username": "username", "lastSeenAt": "last_seen_at", "balance": "balance"}
SORTS = tuple(sign + field for field in SORT_FIELDS for sign in ("", "-"))


def _not_zero(value: int) -> None:
    if value == 0:
        raise ValidationError("not_zero")


class UserSearch(Input):
    q = Text(load_default="", max_length=254, metadata={"description": "The beginning of a name or an e-mail."})
    role = Choice(tuple(Role), load_default=None)
    blocked = Choice(("true", "false"), load_default=None)
    plan = Choice(PLANS, load_default=None)
    sort = Choice(SORTS, load_default="-createdAt", metadata={"description": "`-` for descending."})
    page = Whole(
        least=1,
        most=MAX_PAGE,
        load_default=1,
        metadata={"description": f"As far as the first {LIST_ROWS} rows; a narrower search reaches the others."},
    )
    limit = Whole(least=1, most=PAGE_MAX_ITEMS, load_default=PAGE_ITEMS)


class User(Output):
    EXAMPLE = {
        "userId": EXAMPLE_ID,
        "username": "anna",
        "email": None,
        "firstName": "Анна",
        "lastName": "",
        "role": "user",
        "plan": "FREE",
        "blocked": False,
        "locale": "ru",
        "currentBalance": 99962,
        "held": 0,
        "totalTokens": 38,
        "createdAt": EXAMPLE_TIME,
        "lastSeenAt": EXAMPLE_TIME,
        "expiresAt": None,
        "externalId": None,
        "keyId": None,
        "linkedUserId": None,
    }

    user_id = fields.String(required=True, attribute="account.id")
    username = fields.String(required=True, allow_none=True, attribute="account.username")
    email = fields.String(required=True, allow_none=True, attribute="account.email")
    first_name = fields.String(required=True, attribute="account.first_name")
    last_name = fields.String(required=True, attribute="account.last_name")
    role = fields.String(required=True, attribute="account.role", metadata={"enum": list(Role)})
    plan = fields.String(required=True, attribute="account.plan")
    blocked = fields.Boolean(required=True, attribute="account.blocked")
    locale = fields.String(required=True, allow_none=True, attribute="account.locale")
    current_balance = fields.Integer(required=True, attribute="wallet.available")
    held = fields.Integer(required=True, attribute="wallet.held")
    total_tokens = fields.Integer(required=True, attribute="wallet.total_tokens")
    created_at = Moment(required=True, attribute="account.created_at")
    last_seen_at = Moment(required=True, allow_none=True, attribute="account.last_seen_at")
    expires_at = Moment(required=True, allow_none=True, attribute="account.expires_at")
    external_id = fields.String(
        required=True,
        allow_none=True,
        attribute="account.external_id",
        metadata={"description": "What the API key's program calls its end user."},
    )
    key_id = fields.String(required=True, allow_none=True, attribute="account.key_id")
    linked_user_id = fields.String(
        required=True,
        allow_none=True,
        attribute="account.linked_account_id",
        metadata={"description": "The account that pays for this end user of a key, if it is linked to one."},
    )


class UserCard(User):
    EXAMPLE = {**User.EXAMPLE, "credits": CreditsView.EXAMPLE}

    credits = Record(CreditsView, required=True)


class Users(Output):
    EXAMPLE = {"users": [User.EXAMPLE], "total": 1, "page": 1, "limit": PAGE_ITEMS}

    users = fields.List(Record(User), required=True)
    total = fields.Integer(required=True, metadata={"description": "Matches in all; of a filter, exact up to 10 000."})
    page = fields.Integer(required=True)
    limit = fields.Integer(required=True)


class AccountState(Success):
    EXAMPLE = {"success": True, "userId": EXAMPLE_ID, "role": "user", "plan": "FREE", "blocked": True}

    user_id = fields.String(required=True)
    role = fields.String(required=True, metadata={"enum": list(Role)})
    plan = fields.String(required=True)
    blocked = fields.Boolean(required=True)


class NewPlan(Input):
    EXAMPLE = {"plan": "BASIC"}

    plan = Choice(PLANS, required=True)


class NewRole(Input):
    EXAMPLE = {"role": "support"}

    role = Choice((Role.USER, Role.SUPPORT, Role.ADMIN), required=True)


class SetBalance(Input):
    EXAMPLE = {"amount": 250000, "reason": "Договор 17/24", "expectedBalance": 99962}

    amount = Whole(least=0, most=MAX_TOKENS, required=True, metadata={"description": "The new balance in tokens."})
    reason = Text(load_default="", max_length=REASON_MAX_CHARACTERS)
    expected_balance = Whole(
        least=0,
        most=MAX_TOKENS,
        load_default=None,
        metadata={"description": "The balance that was seen: 409 if it is another by now."},
    )


class AdjustBalance(Input):
    EXAMPLE = {"delta": 5000, "reason": "Возмещение за сбой 15 января"}

    delta = Whole(
        least=-MAX_TOKENS,
        most=MAX_TOKENS,
        required=True,
        validate=[_not_zero],
        metadata={"description": "Tokens to add, or below zero to take away.", "not": {"const": 0}},
    )
    reason = Text(required=True, min_length=1, max_length=REASON_MAX_CHARACTERS)


class AdjustCredits(Input):
    EXAMPLE = {"delta": 10, "reason": "Возмещение за сбой 15 января"}

    delta = Whole(
        least=-MAX_CREDITS,
        most=MAX_CREDITS,
        required=True,
        validate=[_not_zero],
        metadata={"description": "Extra credits to add, or below zero to take away.", "not": {"const": 0}},
    )
    reason = Text(required=True, min_length=1, max_length=REASON_MAX_CHARACTERS)


class CreditsState(Success):
    EXAMPLE = {"success": True, "plan": "FREE", "credits": CreditsView.EXAMPLE}

    plan = fields.String(required=True, metadata={"enum": list(Plan)})
    credits = Record(CreditsView, required=True)


class AuditedEntry(LedgerEntry):
    """An entry with who caused it."""

    actor_id = fields.String(required=True)


class AuditedLedger(Output):
    EXAMPLE = {"entries": [{**EXAMPLE_ENTRY, "actorId": "system"}], "nextCursor": EXAMPLE_CURSOR}

    entries = fields.List(Record(AuditedEntry), required=True)
    next_cursor = NextCursor()


class DialogMessage(Output):
    id = fields.String(required=True)
    role = fields.String(required=True)
    content = fields.String(required=True)
    job_id = fields.String(required=True)
    created_at = Moment(required=True)


class Dialog(Output):
    id = fields.String(required=True, attribute="session.id")
    title = fields.String(required=True, attribute="session.title")
    channel = fields.String(required=True, attribute="session.channel")
    message_count = fields.Integer(required=True, attribute="session.message_count")
    created_at = Moment(required=True, attribute="session.created_at")
    updated_at = Moment(required=True, attribute="session.updated_at")
    messages = fields.List(
        Record(DialogMessage), required=True, metadata={"description": "The newest ones, oldest first."}
    )


class Dialogs(Output):
    EXAMPLE = {
        "dialogs": [
            {
                "id": EXAMPLE_ID,
                "title": "",
                "channel": "api",
                "messageCount": 2,
                "createdAt": EXAMPLE_TIME,
                "updatedAt": EXAMPLE_TIME,
                "messages": [
                    {**message, "id": f"{EXAMPLE_JOB_ID}:{turn}", "jobId": EXAMPLE_JOB_ID, "createdAt": EXAMPLE_TIME}
                    for turn, message in enumerate(EXAMPLE_CONTEXT)
                ],
            }
        ],
        "nextCursor": EXAMPLE_CURSOR,
    }

    dialogs = fields.List(Record(Dialog), required=True)
    next_cursor = NextCursor()


class AdminJobs(Output):
    EXAMPLE = {"jobs": [JobSummary.EXAMPLE], "nextCursor": EXAMPLE_CURSOR}

    jobs = fields.List(Record(JobSummary), required=True)
    next_cursor = NextCursor()


class OpenJobs(Output):
    queued = fields.Integer(required=True)
    running = fields.Integer(required=True)


class Balances(Output):
    mean = fields.Float(required=True)
    median = fields.Float(required=True)


class Overview(Output):
    EXAMPLE = {
        "jobs": {"queued": 2, "running": 5},
        "activeUsers": 17,
        "balance": {"mean": 48211.5, "median": 30000.0},
        "days": [EXAMPLE_USAGE_ROW],
        "models": [{**EXAMPLE_USAGE_ROW, "key": "default"}],
        "measuredAt": EXAMPLE_TIME,
    }

    jobs = Record(OpenJobs, required=True)
    active_users = fields.Integer(required=True, metadata={"description": "Seen in the last five minutes."})
    balance = Record(Balances, required=True)
    days = fields.List(Record(UsageRow), required=True, metadata={"description": "The last seven days."})
    models = fields.List(Record(UsageRow), required=True, metadata={"description": "The same days by model."})
    measured_at = Moment(required=True, metadata={"description": "When all but the jobs was measured."})


class AuditSearch(Cursor):
    subject_id = Id(load_default=None, metadata={"description": "The account or job that it is about."})


class AuditLine(Output):
    id = fields.String(required=True)
    actor_id = fields.String(required=True)
    action = fields.String(required=True)
    subject_id = fields.String(required=True)
    details = fields.Dict(required=True)
    outcome = fields.String(
        required=True, metadata={"description": "`started`, `done`, or the code of the error that stopped it."}
    )
    request_id = fields.String(required=True)
    created_at = Moment(required=True)


class AuditTrail(Output):
    EXAMPLE = {
        "audit": [
            {
                "id": "c1d2e3f4a5b60718293a4b5c6d7e8f90",
                "actorId": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
                "action": "balance.set",
                "subjectId": EXAMPLE_ID,
                "details": {"amount": 250000, "expected": 99962, "reason": "Договор 17/24"},
                "outcome": "done",
                "requestId": "5d0c1f0a9be24c6b8f0e7d3a2b1c4d5e",
                "createdAt": EXAMPLE_TIME,
            }
        ],
        "nextCursor": EXAMPLE_CURSOR,
    }

    audit = fields.List(Record(AuditLine), required=True)
    next_cursor = NextCursor()
