"""Tokens: what one must be to be believed, and everything else is a 401 in our shape."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from flask.testing import FlaskClient

from service.bootstrap import Container
from service.domain.accounts import Role
from service.settings import Settings
from tests.api.conftest import PASSWORD, Caller, NewCaller

Forge = Callable[..., str]
ME = "/api/auth/me"
SURROGATE_HEADER = b'{"alg":"HS256","typ":"\\ud800"}'


@pytest.fixture
def forge(settings: Settings, user: Caller) -> Forge:
    """A token like the user's own, signed with the real secret, with other claims; None leaves a claim out."""
    own = jwt.decode(user.token, options={"verify_signature": False})

    def make(secret: str | None = None, algorithm: str = "HS256", **claims: Any) -> str:
        payload = {name: value for name, value in {**own, **claims}.items() if value is not None}
        return jwt.encode(payload, secret or settings.jwt_secret_key.get_secret_value(), algorithm)

    return make


def whoami(client: FlaskClient, authorization: str) -> tuple[int, str]:
    reply = client.get(ME, headers={"Authorization": authorization})
    return reply.status_code, (reply.json or {}).get("code", "")


def b64(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_a_token_says_who_it_is_for(client: FlaskClient, forge: Forge, user: Caller) -> None:
    claims = jwt.decode(user.token, options={"verify_signature": False})
    assert {"iss", "aud", "sub", "exp", "iat", "jti", "typ", "login", "ver"} <= claims.keys()
    assert (claims["iss"], claims["aud"], claims["sub"], claims["typ"]) == (
        "talkmeter",
        "talkmeter-api",
        user.id,
        "access",
    )
    assert claims["exp"] - claims["iat"] == 3600
    assert jwt.get_unverified_header(user.token)["alg"] == "HS256"
    assert whoami(client, f"Bearer {forge()}") == (200, "")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(client: FlaskClient, user: Caller, scheme: str) -> None:
    assert whoami(client, f"{scheme} {user.token}")[0] == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer x.y.z",
        "Bearer ..",
        "Bearer a.b.c.d",
        "Bearer " + "." * 3000,
        "Bearer " + "A" * 8000,
        "Bearer ÿþ",
        "Bearer \xa0",
        "Bearer null",
        "Bearer [object Object]",
        "Basic dXNlcjpwYXNz",
        "Token abc",
        "Bearer,Bearer",
        f"Bearer {b64({'alg': 'HS256'})}.{b64({'sub': 'x'})}.",
        f"Bearer {b64({'alg': 'none', 'typ': 'JWT'})}.{b64({'sub': 'x'})}.",
        f"Bearer {b64({'alg': 'HS512'})}.{b64({'sub': 'x'})}.{b64(b'sig')}",
        f"Bearer {b64({'alg': ['HS256']})}.{b64({'sub': 'x'})}.{b64(b'sig')}",
        f"Bearer {b64({'alg': 'HS256', 'crit': ['x']})}.{b64({'sub': 'x'})}.{b64(b'sig')}",
        f"Bearer {b64([])}.{b64([])}.{b64(b'sig')}",
        f"Bearer {b64(b'[' * 2500)}.{b64({})}.{b64(b'sig')}",
        f"Bearer {b64({'alg': 'HS256'})}.{b64(b'[' * 2500)}.{b64(b'sig')}",
        f"Bearer {b64(b'{' * 100)}.{b64(b'x')}.{b64(b'sig')}",
        f"Bearer {b64(SURROGATE_HEADER)}.{b64({})}.{b64(b'sig')}",
        f"Bearer {b64({'alg': 'HS256', 'kid': '../../dev/null'})}.{b64({'sub': 'x'})}.{b64(b'sig')}",
    ],
)
def test_garbage_is_401(client: FlaskClient, authorization: str) -> None:
    assert whoami(client, authorization) == (401, "UNAUTHORIZED")


def test_no_header_is_401(client: FlaskClient) -> None:
    reply = client.get(ME)
    assert (reply.status_code, reply.json["code"]) == (401, "UNAUTHORIZED")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


def test_two_tokens_in_one_header_are_401(client: FlaskClient, user: Caller) -> None:
    assert whoami(client, f"Bearer {user.token}, Bearer {user.token}")[0] == 401


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "another-secret-another-secret-another"},
        {"algorithm": "HS384"},
        {"algorithm": "HS512"},
        {"iss": "somebody-else"},
        {"iss": None},
        {"aud": "another-api"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 5},
        {"sub": {"$ne": ""}},
        {"sub": ["x"]},
        {"sub": "somebody-unknown"},
        {"sub": "\x00"},
        {"sub": "\ud800"},
        {"exp": None},
        {"exp": "soon"},
        {"iat": None},
        {"iat": "then"},
        {"iat": int(time.time()) + 3600},
        {"jti": None},
        {"jti": 5},
        {"typ": None},
        {"typ": "refresh"},
        {"typ": "other"},
        {"login": None},
        {"login": "another-login"},
        {"login": "\ud800"},
        {"login": {"$ne": ""}},
        {"ver": None},
        {"ver": 1},
        {"ver": "0"},
        {"ver": True},
        {"ver": False},
        {"ver": 0.0},
        {"ver": 10**30},
        {"nbf": int(time.time()) + 3600},
    ],
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_token_that_says_something_else_is_401(client: FlaskClient, forge: Forge, change: dict[str, Any]) -> None:
    assert whoami(client, f"Bearer {forge(**change)}") == (401, "UNAUTHORIZED")


def test_an_unsigned_token_is_401(client: FlaskClient, user: Caller) -> None:
    claims = jwt.decode(user.token, options={"verify_signature": False})
    assert whoami(client, f"Bearer {jwt.encode(claims, None, 'none')}") == (401, "UNAUTHORIZED")


def test_a_changed_token_is_401(client: FlaskClient, user: Caller, admin: Caller) -> None:
    header, _, signature = user.token.split(".")
    body = jwt.decode(user.token, options={"verify_signature": False})
    assert whoami(client, f"Bearer {header}.{b64({**body, 'sub': admin.id})}.{signature}") == (401, "UNAUTHORIZED")


def test_an_expired_token_says_so(client: FlaskClient, forge: Forge) -> None:
    now = int(time.time())
    assert whoami(client, f"Bearer {forge(iat=now - 7200, exp=now - 3600)}") == (401, "TOKEN_EXPIRED")


def test_a_token_expires_also_where_it_is_known(client: FlaskClient, forge: Forge) -> None:
    token = forge(exp=int(time.time()) + 2)
    assert whoami(client, f"Bearer {token}")[0] == 200
    deadline = time.monotonic() + 10
    while (seen := whoami(client, f"Bearer {token}")) == (200, ""):
        assert time.monotonic() < deadline
    assert seen == (401, "TOKEN_EXPIRED")


def test_an_expired_token_of_somebody_else_says_nothing(client: FlaskClient, forge: Forge) -> None:
    expired = forge(secret="another-secret-another-secret-another", exp=int(time.time()) - 3600)
    assert whoami(client, f"Bearer {expired}") == (401, "UNAUTHORIZED")


def test_a_refresh_token_opens_nothing(client: FlaskClient, user: Caller) -> None:
    assert whoami(client, f"Bearer {user.refresh_token}") == (401, "UNAUTHORIZED")


def test_an_access_token_refreshes_nothing(client: FlaskClient, user: Caller) -> None:
    reply = client.post("/api/auth/refresh", json={"refreshToken": user.token})
    assert (reply.status_code, reply.json["code"]) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("token", ["x", "x.y.z", "A" * 100_000, f"{b64(b'[' * 2500)}.{b64({})}.{b64(b'sig')}"])
def test_a_refresh_with_garbage_is_401(client: FlaskClient, token: str) -> None:
    reply = client.post("/api/auth/refresh", json={"refreshToken": token})
    assert (reply.status_code, reply.json["code"]) == (401, "UNAUTHORIZED")


def test_a_refresh_gives_new_tokens_once(client: FlaskClient, user: Caller) -> None:
    reply = client.post("/api/auth/refresh", json={"refresh_token": user.refresh_token})
    assert reply.status_code == 200
    assert whoami(client, f"Bearer {reply.json['token']}")[0] == 200

    again = client.post("/api/auth/refresh", json={"refreshToken": user.refresh_token})
    assert again.status_code == 401
    # Two had the same token, so nobody keeps the session.
    assert whoami(client, f"Bearer {reply.json['token']}")[0] == 401
    assert client.post("/api/auth/refresh", json={"refreshToken": reply.json["refresh_token"]}).status_code == 401


def test_logout_ends_the_session_at_once(client: FlaskClient, user: Caller) -> None:
    other = client.post("/api/auth/login", json={"username": user.name, "password": PASSWORD}).json
    assert user.post("/api/auth/logout").json == {"success": True}
    assert user.get(ME).status_code == 401
    assert client.post("/api/auth/refresh", json={"refreshToken": user.refresh_token}).status_code == 401
    assert whoami(client, f"Bearer {other['token']}")[0] == 200


def test_logout_everywhere_ends_all_sessions(client: FlaskClient, user: Caller) -> None:
    other = client.post("/api/auth/login", json={"username": user.name, "password": PASSWORD}).json
    assert user.post("/api/auth/logout", {"everywhere": True}).status_code == 200
    assert user.get(ME).status_code == 401
    assert whoami(client, f"Bearer {other['token']}")[0] == 401


def test_a_new_password_ends_the_other_sessions(client: FlaskClient, user: Caller) -> None:
    reply = user.post("/api/auth/password", {"currentPassword": PASSWORD, "newPassword": "another password"})
    assert reply.status_code == 200
    assert user.get(ME).status_code == 401
    assert whoami(client, f"Bearer {reply.json['token']}")[0] == 200
    assert client.post("/api/auth/login", json={"username": user.name, "password": PASSWORD}).status_code == 401


def test_a_new_password_needs_the_old_one(user: Caller) -> None:
    reply = user.post("/api/auth/password", {"currentPassword": "wrong password", "newPassword": "another password"})
    assert (reply.status_code, reply.json["code"]) == (401, "BAD_CREDENTIALS")
    reply = user.post("/api/auth/password", {"currentPassword": PASSWORD, "newPassword": "short"})
    assert (reply.status_code, list(reply.json["details"])) == (400, ["newPassword"])


def test_a_blocked_account_is_403_with_its_old_token(user: Caller, admin: Caller, client: FlaskClient) -> None:
    assert admin.post(f"/api/admin/user/{user.id}/block").json["blocked"] is True
    assert user.get(ME).json["code"] == "ACCOUNT_BLOCKED"
    reply = client.post("/api/auth/login", json={"username": user.name, "password": PASSWORD})
    assert (reply.status_code, reply.json["code"]) == (403, "ACCOUNT_BLOCKED")
    assert admin.post(f"/api/admin/user/{user.id}/unblock").json["blocked"] is False
    assert user.get(ME).status_code == 200


def test_a_role_counts_from_the_next_request_on(user: Caller, admin: Caller) -> None:
    assert user.get("/api/admin/overview").status_code == 403
    assert admin.post(f"/api/admin/user/{user.id}/role", {"role": "support"}).json["role"] == "support"
    assert user.get("/api/admin/overview").status_code == 200


def test_registration_says_everything_twice(client: FlaskClient) -> None:
    body = {"username": f"twice-{uuid4().hex[:8]}", "password": PASSWORD}
    reply = client.post("/api/auth/register", json=body)
    assert reply.status_code == 201
    both = reply.json
    assert both["userId"] == both["user_id"]
    assert both["token"] == both["access_token"]
    assert (both["token_type"], both["expires_in"]) == ("bearer", 3600)
    login = client.post("/api/auth/login", json=body)
    assert login.status_code == 200
    assert login.json.keys() == both.keys()


def test_registration_by_email_with_names(client: FlaskClient) -> None:
    email = f"anna.{uuid4().hex[:8]}@example.com"
    body = {"email": email, "password": PASSWORD, "first_name": "Анна", "last_name": "К."}
    token = client.post("/api/auth/register", json=body).json["token"]
    me = client.get(ME, headers={"Authorization": f"Bearer {token}"}).json
    assert (me["email"], me["first_name"], me["last_name"], me["username"]) == (email, "Анна", "К.", None)
    for field in ("username", "email"):
        assert client.post("/api/auth/login", json={field: email.upper(), "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize("email", ["nobody", "a@b", "@example.com", "a b@example.com", "анна@example.com", "a@b.c\nd"])
def test_an_email_must_look_like_one(client: FlaskClient, email: str) -> None:
    reply = client.post("/api/auth/register", json={"email": email, "password": PASSWORD})
    assert (reply.status_code, list(reply.json["details"])) == (400, ["email"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": PASSWORD}, "username"),
        ({"username": "somebody-new"}, "password"),
        ({"username": "ab", "password": PASSWORD}, "username"),
        ({"username": "with space", "password": PASSWORD}, "username"),
        ({"username": "аdmin-mixed", "password": PASSWORD}, "username"),
        ({"username": "somebody-new", "password": "short"}, "password"),
        ({"username": "somebody-new", "password": "x" * 129}, "password"),
        ({"username": "somebody-new", "password": PASSWORD, "locale": "de"}, "locale"),
        ({"username": "somebody-new", "password": PASSWORD, "first_name": "x" * 101}, "first_name"),
    ],
)
def test_a_bad_registration_names_the_field(client: FlaskClient, body: dict[str, str], field: str) -> None:
    reply = client.post("/api/auth/register", json=body)
    assert (reply.status_code, reply.json["code"], list(reply.json["details"])) == (400, "VALIDATION_ERROR", [field])


def test_a_taken_name_is_409(client: FlaskClient, user: Caller) -> None:
    reply = client.post("/api/auth/register", json={"username": user.name.upper(), "password": PASSWORD})
    assert (reply.status_code, reply.json["code"]) == (409, "USERNAME_TAKEN")


def test_a_wrong_name_and_a_wrong_password_read_alike(client: FlaskClient, user: Caller) -> None:
    replies = [
        client.post("/api/auth/login", json={"username": name, "password": "wrong password"}).json
        for name in (user.name, "nobody-by-this-name")
    ]
    for reply in replies:
        reply.pop("requestId")
    assert replies[0] == replies[1]
    assert replies[0]["code"] == "BAD_CREDENTIALS"


def test_too_many_failures_are_429_with_a_wait(client: FlaskClient, user: Caller) -> None:
    wrong = {"username": user.name, "password": "wrong password"}
    statuses = [client.post("/api/auth/login", json=wrong).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    reply = client.post("/api/auth/login", json={**wrong, "password": PASSWORD})
    assert (reply.status_code, reply.json["code"]) == (429, "TOO_MANY_ATTEMPTS")
    assert int(reply.headers["Retry-After"]) > 0


def test_a_guest_becomes_an_account_that_keeps_its_history(client: FlaskClient, container: Container) -> None:
    guest = client.post("/api/auth/guest-login").json
    bearer = {"Authorization": f"Bearer {guest['token']}"}
    me = client.get(ME, headers=bearer).json
    assert (me["role"], me["username"]) == ("guest", None)
    assert me["expiresAt"] is not None

    name = f"was-guest-{uuid4().hex[:8]}"
    reply = client.post("/api/auth/register", json={"username": name, "password": PASSWORD}, headers=bearer)
    assert reply.status_code == 201
    assert reply.json["userId"] == guest["userId"]
    me = client.get(ME, headers={"Authorization": f"Bearer {reply.json['token']}"}).json
    assert (me["role"], me["username"], me["expiresAt"]) == ("user", name, None)


def test_registering_with_a_bad_token_is_401(client: FlaskClient) -> None:
    body = {"username": f"new-{uuid4().hex[:8]}", "password": PASSWORD}
    reply = client.post("/api/auth/register", json=body, headers={"Authorization": "Bearer x"})
    assert reply.status_code == 401


def test_registering_as_an_account_makes_another(client: FlaskClient, user: Caller) -> None:
    reply = user.post("/api/auth/register", {"username": f"new-{uuid4().hex[:8]}", "password": PASSWORD})
    assert reply.status_code == 201
    assert reply.json["userId"] != user.id


def test_who_has_which_role_gets_through(register: NewCaller) -> None:
    grid = {role: register(role) for role in (Role.USER, Role.SUPPORT, Role.ADMIN)}
    reads = {role: caller.get("/api/admin/users").status_code for role, caller in grid.items()}
    changes = {role: caller.post("/api/admin/user/unknown/unblock").status_code for role, caller in grid.items()}
    assert reads == {Role.USER: 403, Role.SUPPORT: 200, Role.ADMIN: 200}
    assert changes == {Role.USER: 403, Role.SUPPORT: 403, Role.ADMIN: 404}


def test_a_role_is_judged_before_the_body(user: Caller) -> None:
    assert user.post("/api/admin/user/unknown/balance", data=b"[[[").status_code == 403
