"""Who is on a socket: by the token that it came with or was sent later, else a guest where guests are allowed."""

from collections.abc import Callable

from flask import request

from service.api.auth import actor_of, client_address, remember
from service.api.state import locale, services
from service.api.tokens import Claims, read_token
from service.domain.accounts import Actor
from service.domain.errors import Forbidden, JobRunning, Unauthorized

PROTOCOL = "bearer"


class Caller:
    """Looked at again for each message, because a token may expire and an account be blocked meanwhile."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._guest: Claims | None = None

    @property
    def is_known(self) -> bool:
        return self._token is not None or self._guest is not None

    def actor(self) -> Actor:
        """Who is asking, by the token or as the guest. Raises Unauthorized, TokenExpired, AccountBlocked."""
        if self._token is not None:
            return actor_of(read_token(self._token, "access"))
        if self._guest is None:
            raise Unauthorized("nobody has logged in on this socket")
        return actor_of(self._guest)

    def actor_or_guest(self) -> Actor:
        """The same, but nobody becomes a guest now. Raises RateLimited too."""
        if not self.is_known:
            self._guest = _new_guest()
        return self.actor()

    def log_in(self, token: str, asked_by: str | None, admit: Callable[[Actor], object]) -> None:
        """Go on with this token. While a question of the account `asked_by` is being answered it must be that one's.

        Stays who it was if the token is bad, or `admit` raises. Raises as `actor` and `admit` do, and JobRunning.
        """
        actor = actor_of(read_token(token, "access"))
        if asked_by is not None and actor.account_id != asked_by:
            raise JobRunning()
        admit(actor)
        self._token = token


def token_of_handshake() -> str | None:
    """The token in the address, or after the word `bearer` in `Sec-WebSocket-Protocol`."""
    offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if len(offered) == 2 and offered[0].lower() == PROTOCOL:
        return offered[1]
    return request.args.get("token")


def _new_guest() -> Claims:
    try:
        logged_in = services().accounts.guest_login(address=client_address(), locale=locale())
    except Forbidden as error:
        raise Unauthorized("guests are not allowed") from error
    remember(logged_in.account)
    return Claims(
        account_id=logged_in.account.id,
        login_id=logged_in.login.id,
        token_id=logged_in.login.refresh_id,
        token_version=logged_in.account.token_version,
    )
