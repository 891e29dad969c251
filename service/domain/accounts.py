"""Accounts, roles and names: who somebody is and what a name may look like."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.domain.errors import Forbidden, ValidationFailed
from service.domain.keys import ApiKey

PASSWORD_MIN_CHARACTERS = 8
PASSWORD_MAX_CHARACTERS = 128
USERNAME_MIN_CHARACTERS = 3
USERNAME_MAX_CHARACTERS = 64
# Of a name or e-mail address as it comes in; e-mail addresses have at most 254.
NAME_MAX_INPUT_CHARACTERS = 320
_USERNAME_PUNCTUATION = frozenset("._-@+")
# Letters to Unicode, blank to the eye: two names that differ by one would look the same.
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0")
# Japanese names mix these scripts (々 and ー have names of their own); every other script stands alone.
_SCRIPTS_WRITTEN_TOGETHER = dict.fromkeys(("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"), "CJK")


class Role(StrEnum):
    """`end_user` is somebody whom an API key's program names: an account with a wallet and without a login."""

    GUEST = "guest"
    END_USER = "end_user"
    USER = "user"
    SUPPORT = "support"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Account:
    """A person or program with a wallet. `login_keys` are the folded names it may log in by.

    `external_id` is what an API key's program calls its end user; `key_id` is the key that first did. An end user who
    is linked to the account of a person asks on that one's wallet, in the dialog `link_id`.
    """

    id: str
    role: Role
    username: str | None
    email: str | None
    first_name: str
    last_name: str
    locale: str | None
    plan: str
    blocked: bool
    token_version: int
    created_at: datetime
    expires_at: datetime | None = None
    last_seen_at: datetime | None = None
    external_id: str | None = None
    key_id: str | None = None
    linked_account_id: str | None = None
    link_id: str | None = None
    linked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is asking, and in which request. Use cases take it explicitly and never look at the HTTP request.

    With a `key` it is a program of that account: it has the key's scopes and no role's powers.
    """

    account_id: str
    role: Role
    request_id: str
    login_id: str | None = None
    locale: str | None = None
    address: str = ""
    key: ApiKey | None = None

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN and self.key is None

    @property
    def is_staff(self) -> bool:
        return self.role in (Role.ADMIN, Role.SUPPORT) and self.key is None

    @property
    def record_id(self) -> str:
        """What the ledger and the audit trail call the actor."""
        return self.account_id if self.key is None else f"key:{self.key.id}"

    def owner(self, user_id: str | None) -> str:
        """The account that a request with this `userId` is about.

        The caller's own; of an end user, for a key, which means its own end users by any other id; anyone's, for an
        admin. This and `reaches` are the one place where ownership is decided. Raises Forbidden for anyone else's id.
        """
        if user_id is None or user_id == self.account_id:
            return self.account_id
        if self.key is not None:
            return self.key.end_user_id(user_id)
        if self.is_admin:
            return user_id
        raise Forbidden("somebody else's userId")

    def reaches(self, account_id: str, external_id: str | None, end_user_id: str | None = None) -> bool:
        """Whether a thing of this account, called `external_id` by its program, is the actor's to see and change.

        `end_user_id` is for whom it was made, if that one is linked to the account and not the account itself.
        """
        if account_id == self.account_id or self.is_admin:
            return True
        if self.key is None or external_id is None:
            return False
        return self.key.end_user_id(external_id) == (end_user_id or account_id)

    def name_of(self, account_id: str, external_id: str | None, end_user_id: str | None = None) -> str:
        """The `userId` by which the actor knows this account: a program knows its own end users, and only them, by
        names of its own. `end_user_id` as in `reaches`."""
        if self.key is None or external_id is None:
            return account_id
        return external_id if self.key.end_user_id(external_id) == (end_user_id or account_id) else account_id


def fold_name(name: str) -> str:
    """The form by which two names are the same name (NFKC, case-folded, trimmed)."""
    # Longer than any stored name; normalising takes quadratic time of a long run of accents.
    name = name[:NAME_MAX_INPUT_CHARACTERS]
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def check_username(name: str) -> str:
    """Return the name to show; raise ValidationFailed unless it's 3-64 letters and digits of one script and ._-@+."""
    if len(name) > NAME_MAX_INPUT_CHARACTERS:
        raise ValidationFailed(details={"username": ["username_length"]})
    shown = unicodedata.normalize("NFKC", name).strip()
    if not USERNAME_MIN_CHARACTERS <= len(shown) <= USERNAME_MAX_CHARACTERS:
        raise ValidationFailed(details={"username": ["username_length"]})
    if not all(_may_be_in_a_name(character) for character in shown):
        raise ValidationFailed(details={"username": ["username_characters"]})
    if len(_scripts(shown)) > 1:
        raise ValidationFailed(details={"username": ["username_one_script"]})
    return shown


def check_password(password: str, field: str = "password") -> None:
    """Raise ValidationFailed naming `field` unless the password has 8 to 128 characters."""
    if not PASSWORD_MIN_CHARACTERS <= len(password) <= PASSWORD_MAX_CHARACTERS:
        raise ValidationFailed(details={field: ["password_length"]})


def _may_be_in_a_name(character: str) -> bool:
    return character in _USERNAME_PUNCTUATION or (character.isalnum() and character not in _BLANK_LETTERS)


def _scripts(text: str) -> set[str]:
    scripts = {unicodedata.name(character, "UNKNOWN").split()[0] for character in text if character.isalpha()}
    return {_SCRIPTS_WRITTEN_TOGETHER.get(script, script) for script in scripts}
