"""The stack's stores as docker-compose.yml guards them: by the secrets of `deploy/make-secrets.sh` and the users of
`deploy/mongo/users.js`. The service reads its secrets from the files."""

import contextlib
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError
from redis import Redis
from redis.exceptions import AuthenticationError

from devstack.binaries import find_node, find_redis_server
from devstack.servers import LOOPBACK, MongoServer, RedisServer, ServerProcess
from tests.scripts import DEPLOY, make_secrets
from tests.stack.stack import StackUnderTest

FROM_FILES = ("mongodb_uri", "redis_url", "jwt_secret_key", "openai_api_key")
# What the script says to mongosh, caught by a `db` that only listens.
_LISTEN = """
const fs = require('fs'), [script, secrets] = process.argv.slice(1), users = []
const there = {readFileSync: (path, coding) => fs.readFileSync(path.replace('/run/secrets', secrets), coding)}
const db = {getSiblingDB: (name) => ({createUser: (user) => users.push({...user, db: name})})}
new Function('require', 'db', fs.readFileSync(script, 'utf8'))(() => there, db)
console.log(JSON.stringify(users))
"""


def users_of(secrets: Path) -> list[dict[str, Any]]:
    """Whom `users.js` makes: `user`, `pwd`, `roles`, and the `db` that knows them."""
    command = [*find_node()["node"], "-e", _LISTEN, str(DEPLOY / "mongo" / "users.js"), str(secrets)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return list(json.loads(said))


def write_secret(directory: Path, name: str, text: str) -> None:
    """Instead of what is there, which nobody may write."""
    (directory / name).unlink()
    (directory / name).write_text(text, encoding="utf-8")


class SecuredMongo(MongoServer):
    """A mongod with a key file, which asks everybody for a password."""

    def __init__(self, directory: Path, secrets: Path) -> None:
        super().__init__(directory)
        self._secrets = secrets
        self._keyfile = directory / "keyfile"

    @property
    def uri(self) -> str:
        return (self._secrets / "mongodb_uri").read_text(encoding="utf-8")

    def client(self, user: str, password: str) -> MongoClient[dict[str, Any]]:
        return MongoClient(
            LOOPBACK,
            self.port,
            username=user,
            password=password,
            directConnection=True,
            serverSelectionTimeoutMS=2000,
            tz_aware=True,
        )

    def root(self) -> MongoClient[dict[str, Any]]:
        return self.client("root", (self._secrets / "mongo_root_password").read_text(encoding="utf-8"))

    def command(self) -> list[str]:
        return [*super().command(), "--keyFile", str(self._keyfile)]

    def is_ready(self) -> bool:
        with contextlib.suppress(PyMongoError), self.root() as client:
            return bool(client.admin.command("hello")["isWritablePrimary"])
        return False

    def __enter__(self) -> Self:
        """The image's first start is without the key file too, and makes root and the users."""
        root = (self._secrets / "mongo_root_password").read_text(encoding="utf-8")
        with MongoServer(self.directory, self.port) as first, MongoClient(first.uri) as client:
            client.admin.command("createUser", "root", pwd=root, roles=["root"])
            for user in users_of(self._secrets):
                client[user["db"]].command("createUser", user["user"], pwd=user["pwd"], roles=user["roles"])
        self._keyfile.write_bytes((self._secrets / "mongo_keyfile").read_bytes())
        self._keyfile.chmod(0o400)
        return self.start()


class SecuredRedis(RedisServer):
    """A Redis on the configuration that the secrets hold."""

    def __init__(self, directory: Path, secrets: Path) -> None:
        super().__init__(directory)
        self._secrets = secrets

    @property
    def uri(self) -> str:
        return (self._secrets / "redis_url").read_text(encoding="utf-8")

    def command(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", LOOPBACK, "--dir", str(self.directory)]
        return [str(find_redis_server()), str(self._secrets / "redis.conf"), *where]


class SecuredStack(StackUnderTest):
    """The stack on stores that ask for passwords."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, workers=1)
        self.secrets = directory / "secrets"
        self.mongo = SecuredMongo(directory / "mongo", self.secrets)
        self.redis = SecuredRedis(directory / "redis", self.secrets)
        make_secrets(
            self.secrets,
            MONGO_HOSTS=f"{LOOPBACK}:{self.mongo.port}",
            REDIS_HOST=f"{LOOPBACK}:{self.redis.port}",
            OPENAI_API_KEY=self.environment["openai_api_key"],
        )
        # One and the same for all parts.
        for name in FROM_FILES:
            del self.environment[name]
            self.environment[f"{name}_file"] = str(self.secrets / name)

    def __enter__(self) -> Self:
        super().__enter__()
        self._root = self._exit.enter_context(self.mongo.root())
        return self

    @property
    def db(self) -> Database[dict[str, Any]]:
        """As root, whoever the service is at this moment."""
        return self._root[self.mongo.database]

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text(encoding="utf-8")

    def restart(self) -> None:
        """All of the service, as `docker compose up -d` does after a secret was replaced."""
        parts = (self.web, *self.workers, self.scheduler)
        with ThreadPoolExecutor(len(parts)) as pool:
            for restarted in pool.map(ServerProcess.restart, parts):
                assert restarted.running

    def opens_redis(self, password: str) -> bool:
        with contextlib.suppress(AuthenticationError), Redis(port=self.redis.port, password=password) as client:
            return bool(client.ping())
        return False
