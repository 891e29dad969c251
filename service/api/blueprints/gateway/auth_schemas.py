"""Bodies of `/api/auth`."""

from typing import Any

from marshmallow import ValidationError, fields, validate

from service.api.fields import Choice, Flag, Input, Moment, Output, Text
from service.api.schemas import EXAMPLE_ID, EXAMPLE_TIME
from service.domain.accounts import (
    PASSWORD_MAX_CHARACTERS,
    PASSWORD_MIN_CHARACTERS,
    USERNAME_MAX_CHARACTERS,
    USERNAME_MIN_CHARACTERS,
    Role,
)
from service.domain.texts import LOCALES

EXAMPLE_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI1YjBlIn0.c2lnbmF0dXJl"  # noqa: S105 - of nobody
_EMAIL = validate.Email(error="not_email")


def check_email(value: str) -> None:
    """Raises ValidationError."""
    # Addresses in other scripts than Latin are valid too, but can't be folded and compared reliably.
    if not value.isascii():
        raise ValidationError("not_email")
    _EMAIL(value)


class Password(Text):
    """Its length is judged by the domain; longer than this is not even hashed."""

    def __init__(self) -> None:
        super().__init__(
            required=True,
            metadata={
                "format": "password",
                "minLength": PASSWORD_MIN_CHARACTERS,
                "maxLength": PASSWORD_MAX_CHARACTERS,
            },
        )


class GivenPassword(Text):
    """A password to be compared, whatever its length was allowed to be when it was set."""

    def __init__(self, **options: Any) -> None:
        needed = {} if "load_default" in options else {"required": True}
        super().__init__(max_length=1024, metadata={"format": "password"}, **needed, **options)


class NewAccount(Input):
    EXAMPLE = {"username": "anna", "password": "correct horse battery", "first_name": "Анна", "locale": "ru"}
    EITHER = ("username", "email")

    username = Text(
        load_default=None,
        metadata={
            "minLength": USERNAME_MIN_CHARACTERS,
            "maxLength": USERNAME_MAX_CHARACTERS,
            "description": "Letters and digits of one alphabet and `._-@+`. Required unless `email` is given.",
        },
    )
    email = Text(load_default=None, max_length=254, validate=[check_email], metadata={"format": "email"})
    password = Password()
    first_name = Text(load_default="", max_length=100, data_key="first_name")
    last_name = Text(load_default="", max_length=100, data_key="last_name")
    locale = Choice(LOCALES, load_default=None, metadata={"description": "The language of error texts."})


class Login(Input):
    EXAMPLE = {"username": "anna", "password": "correct horse battery"}
    EITHER = ("username", "email")

    username = Text(load_default=None, max_length=254, metadata={"description": "The user name or the e-mail."})
    email = Text(load_default=None, max_length=254, metadata={"description": "May stand for `username`."})
    password = GivenPassword()


class Guest(Input):
    EXAMPLE = {"locale": "ru"}

    locale = Choice(LOCALES, load_default=None)


class Refresh(Input):
    EXAMPLE = {"refreshToken": EXAMPLE_TOKEN}

    refresh_token = Text(required=True, min_length=1)


class Logout(Input):
    EXAMPLE = {"everywhere": True}

    everywhere = Flag(load_default=False, metadata={"description": "Also end all other login sessions."})


class PasswordChange(Input):
    EXAMPLE = {"currentPassword": "correct horse battery", "newPassword": "even better horse"}

    current_password = GivenPassword()
    new_password = Password()


class AccountChanges(Input):
    EXAMPLE = {"locale": "en"}

    locale = Choice(LOCALES, required=True, metadata={"description": "The language of texts from now on."})


class Farewell(Input):
    EXAMPLE = {"password": "correct horse battery"}

    password = GivenPassword(load_default=None)


class TokenReply(Output):
    """Says everything twice, because the clients of the different surfaces look for it under different names."""

    EXAMPLE = {
        "userId": EXAMPLE_ID,
        "token": EXAMPLE_TOKEN,
        "user_id": EXAMPLE_ID,
        "access_token": EXAMPLE_TOKEN,
        "refresh_token": EXAMPLE_TOKEN,
        "token_type": "bearer",
        "expires_in": 3600,
    }

    user_id = fields.String(required=True)
    token = fields.String(required=True, metadata={"description": "The access token."})
    user_id_too = fields.String(required=True, data_key="user_id")
    access_token = fields.String(required=True, data_key="access_token")
    refresh_token = fields.String(
        required=True, data_key="refresh_token", metadata={"description": "Valid once: a refresh returns a new one."}
    )
    token_type = fields.String(required=True, data_key="token_type")
    expires_in = fields.Integer(
        required=True, data_key="expires_in", metadata={"description": "Seconds until `token` expires."}
    )


class Me(Output):
    EXAMPLE = {
        "userId": EXAMPLE_ID,
        "user_id": EXAMPLE_ID,
        "username": "anna",
        "email": None,
        "first_name": "Анна",
        "last_name": "",
        "role": "user",
        "plan": "FREE",
        "locale": "ru",
        "createdAt": EXAMPLE_TIME,
        "expiresAt": None,
    }

    user_id = fields.String(required=True)
    user_id_too = fields.String(required=True, data_key="user_id")
    username = fields.String(required=True, allow_none=True)
    email = fields.String(required=True, allow_none=True)
    first_name = fields.String(required=True, data_key="first_name")
    last_name = fields.String(required=True, data_key="last_name")
    role = fields.String(required=True, metadata={"enum": list(Role)})
    plan = fields.String(required=True)
    locale = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    expires_at = Moment(required=True, allow_none=True, metadata={"description": "When a guest's account ends."})
