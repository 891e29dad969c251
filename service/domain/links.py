"""One-time codes by which somebody ties what a bot calls them to their own account.

A code is short, because a person types it into a chat: 40 random bits that live for ten minutes and are used once.
Guessing is made hopeless by counting wrong ones, not by length. Not for anything that lives longer.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

CODE_LIFE = timedelta(minutes=10)
CODE_CHARACTERS = 8
# Nothing that is easily taken for something else: no I, L, O, U, and none of these once lower case is raised.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# How people write what they read aloud or copy with a dash.
_SAME = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": "", "\u00a0": "", "–": "", "—": "", "_": ""})


@dataclass(frozen=True, slots=True)
class LinkCode:
    """What is stored of an account's code. `used_by` is the end user who has used it."""

    account_id: str
    code_hash: str
    expires_at: datetime
    used_by: str | None = None


def new_code() -> str:
    """As it is shown: `7KQ2-M9XA`."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(CODE_CHARACTERS))
    return f"{code[:4]}-{code[4:]}"


def hash_code(code: str, secret: str) -> str:
    """What is stored instead of a code, however it was typed.

    Keyed, because so few bits could be guessed from a plain hash by whoever has a copy of the database.
    """
    plain = code.strip().upper().translate(_SAME)
    return hmac.new(f"link-code:{secret}".encode(), plain.encode(), hashlib.sha256).hexdigest()
