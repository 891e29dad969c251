"""`make run`: the whole service on this machine, with every part real, until Ctrl-C or SIGTERM.

    python -m devstack.run

Starts MongoDB and Redis (unless the environment names others), a stand-in for OpenAI (unless there
is a key), the web processes, the Celery workers, the scheduler and Flower under supervisord, waits
until they are healthy, and prints the addresses. For production see docker-compose.yml.
"""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from devstack import leftovers
from devstack.binaries import MissingBinaryError
from devstack.environment import REPOSITORY, ConfigurationError, read_environment
from devstack.plan import Plan, data_dir_of, make_plan
from devstack.readiness import (
    NotReadyError,
    Watch,
    answers_mongo,
    answers_ok,
    answers_redis,
    require_reachable,
    tail,
    workers_answer,
)
from devstack.servers import ServerNotReadyError, ensure_replica_set
from devstack.supervision import RPC_FAILURES, Supervisor
from devstack.tethered import tether

WATCH_SECONDS = 1.0
PREPARE_TIMEOUT_SECONDS = 120.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_ORDER = ("service", "standin", "stores")


class StopRequestedError(BaseException):
    """Ctrl-C or SIGTERM arrived. Not an Exception: nothing on the way may take it for a failure."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stop-with-parent", action="store_true", help="stop as on SIGTERM when the parent is killed")
    if parser.parse_args().stop_with_parent:
        tether(signal.SIGTERM)
    _on_stop_signals(_request_stop)
    try:
        return _run()
    except StopRequestedError:
        return 0
    except (
        ConfigurationError,
        MissingBinaryError,
        NotReadyError,
        ServerNotReadyError,
        *RPC_FAILURES,
    ) as error:
        _say(f"\nmake run: {error}", sys.stderr)
        return 1


def _run() -> int:
    environment = read_environment()
    data_dir = data_dir_of(environment)
    with _only_run_on(data_dir):
        if count := leftovers.end(data_dir):
            _say(f"Ended {count} processes that an earlier run left behind.")
        plan = make_plan(environment)
        require_reachable(plan)
        _prepare_directories(plan)
        supervisor = Supervisor(plan)
        try:
            supervisor.start()
            _start_parts(plan, supervisor)
            _say(banner(plan))
            while supervisor.running:
                time.sleep(WATCH_SECONDS)
        finally:
            _stop(supervisor)
    raise NotReadyError("supervisord ended, and all parts with it. The end of its log:\n" + _supervisor_log(plan))


@contextmanager
def _only_run_on(data_dir: Path) -> Iterator[None]:
    """Hold the data directory, as long as this process lives; a second run is refused."""
    lock = data_dir / "run" / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigurationError(
                f"Another `make run` (pid {file.read().strip()}) uses {data_dir}. "
                "Stop it, or run beside it: PORT=9000 DATA_DIR=.data-9000 make run"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _prepare_directories(plan: Plan) -> None:
    embedded = {"mongod": plan.mongo_port, "redis": plan.redis_port}
    for name in ("logs", *(store for store, port in embedded.items() if port is not None)):
        (plan.data_dir / name).mkdir(parents=True, exist_ok=True)
    # What one run leaves there is of no use to the next: gauges of dead processes, beat's shelf,
    # which a kill may have broken, and the stand-in's journal.
    shutil.rmtree(plan.run_dir / "prometheus", ignore_errors=True)
    (plan.run_dir / "prometheus").mkdir()
    for stale in (*plan.run_dir.glob("beat-schedule*"), *plan.run_dir.glob("upstream-journal*")):
        stale.unlink()


def _start_parts(plan: Plan, supervisor: Supervisor) -> None:
    watch = Watch(plan, supervisor)
    _say("Starting the stores …")
    supervisor.start_group("stores")
    supervisor.start_group("standin")
    if plan.redis_port is not None:
        watch.until("redis", lambda: answers_redis(plan.environment["REDIS_URL"]))
    if plan.mongo_port is not None:
        mongo_port = plan.mongo_port
        watch.until("mongod", lambda: answers_mongo(mongo_port))
        ensure_replica_set(mongo_port)
    if plan.upstream_port is not None:
        health = f"http://127.0.0.1:{plan.upstream_port}/_control/health"
        watch.until("upstream", lambda: answers_ok(health))
    _prepare_database(plan)
    _say("Starting the service …")
    supervisor.start_group("service")
    watch.until("web", lambda: answers_ok(plan.probe_url(plan.port, "/health")))
    watch.until("flower", lambda: answers_ok(plan.probe_url(plan.flower_port, "/healthcheck")))
    watch.until("exporter", lambda: answers_ok(plan.probe_url(plan.exporter_port, "/metrics")))
    watch.until("worker-chat", lambda: workers_answer(plan.environment))


def _prepare_database(plan: Plan) -> None:
    """Create indexes, seeds and, on the first run, the admin."""
    log = plan.log_of("prepare")
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "service.cli", "prepare"],
            cwd=REPOSITORY,
            env={**plan.environment, "ADMIN_PASSWORD": plan.admin.password},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=PREPARE_TIMEOUT_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise NotReadyError(f"`python -m service.cli prepare` failed:\n{tail(log)}")


def _stop(supervisor: Supervisor) -> None:
    """Those that use the stores first, then the stores, then supervisord."""
    _on_stop_signals(lambda *_: _say("Still stopping …"))
    if supervisor.running:
        _say("\nStopping …")
        try:
            for group in STOP_ORDER:
                supervisor.stop_group(group)
        except RPC_FAILURES as error:
            _say(f"supervisord does not stop the parts in order: {error}", sys.stderr)
    supervisor.stop()
    _say("Stopped.")


def banner(plan: Plan) -> str:
    """What to open and how to sign in."""
    lines = ["", "Talkmeter is ready:", ""]
    lines += [f"  {name:<15} {text}" for name, text in _facts(plan)]
    lines += ["", *(f"Note: {notice}" for notice in plan.notices), "Ctrl-C stops everything."]
    return "\n".join(lines)


def _facts(plan: Plan) -> list[tuple[str, str]]:
    flower_user, _ = plan.flower_login
    stores = (("MongoDB", "URI", plan.mongo_port), ("Redis", "URL", plan.redis_port))
    facts = [
        ("Web UI and API", plan.url(plan.port)),
        ("API reference", plan.url(plan.port, "/docs")),
        (
            "Flower",
            f"{plan.url(plan.flower_port)}  ({flower_user} / see {plan.secrets_dir / 'flower_password'})",
        ),
        ("Metrics", f"{plan.url(plan.port, '/metrics')}, {plan.url(plan.exporter_port, '/metrics')}"),
        ("Sign in", _sign_in(plan)),
        *[(name, plan.environment[f"{name.upper()}_{kind}"]) for name, kind, port in stores if port is not None],
    ]
    if plan.upstream_port is not None:
        facts.append(("Models", "a local stand-in, not OpenAI: OPENAI_API_KEY is empty"))
    else:
        facts.append(("Models", plan.environment.get("OPENAI_BASE_URL") or "OpenAI"))
    facts.append(("Logs", str(plan.logs_dir)))
    return facts


def _sign_in(plan: Plan) -> str:
    stored = plan.secrets_dir / "admin_password"
    if plan.admin.is_new:
        return f"{plan.admin.username} / {plan.admin.password}  (shown once; kept in {stored})"
    if plan.admin.is_generated:
        return f"{plan.admin.username} / the password of the first run, kept in {stored}"
    return f"{plan.admin.username} / ADMIN_PASSWORD as it was on the first run"


def _supervisor_log(plan: Plan) -> str:
    return tail(plan.log_of("supervisord"))


def _on_stop_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in STOP_SIGNALS:
        # Under nohup the end of the terminal is no reason to stop.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _request_stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise StopRequestedError


def _say(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream, flush=True)


if __name__ == "__main__":
    sys.exit(main())
