"""CPU, memory and open files of the service's processes on this host, by part.

prometheus_client says nothing of processes when several count together (`PROMETHEUS_MULTIPROC_DIR`). So each process
leaves a note of itself there, and whoever is scraped reads the kernel's figures of all that are still alive.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_PROC = Path("/proc")
_PREFIX = "process-"
_LABELS = ("part", "pid")
# As prometheus_client calls its files.
_LIVE_GAUGES = "gauge_live"


@dataclass(frozen=True)
class Process:
    """`started` is in the kernel's ticks: another process may have been given the id of one that died."""

    part: str
    pid: int
    started: str


@dataclass(frozen=True)
class Usage:
    """What a process uses: seconds of CPU since it began, resident bytes, open files."""

    cpu_seconds: float
    memory_bytes: int
    open_files: int


_registered: list[Process] = []


def register(part: str, *, alone: bool = False) -> None:
    """Make this process one that is watched: `web`, `worker`, `scheduler`, `flower`, `exporter`. After any fork.

    One that tells of itself `alone` is none of the others' business.
    """
    stat = _stat(os.getpid())
    if stat is None:
        return  # not on Linux
    me = Process(part, os.getpid(), stat[19])
    _registered[:] = [me]
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if directory and not alone:
        note = Path(directory) / f"{_PREFIX}{me.part}-{me.pid}"
        note.write_text(me.started, encoding="ascii")


class ProcessCollector(Collector):
    """All processes that registered in this one's directory; this one `alone`, or if there is no directory."""

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone

    def collect(self) -> Iterator[Metric]:
        cpu = CounterMetricFamily("service_process_cpu_seconds", "CPU time that a process has used", labels=_LABELS)
        memory = GaugeMetricFamily("service_process_memory_bytes", "Resident memory of a process", labels=_LABELS)
        files = GaugeMetricFamily("service_process_open_files", "Open files of a process", labels=_LABELS)
        for process in list(_registered) if self._alone else _alive():
            usage = _usage(process)
            if usage is None:
                continue
            labels = (process.part, str(process.pid))
            cpu.add_metric(labels, usage.cpu_seconds)
            memory.add_metric(labels, usage.memory_bytes)
            files.add_metric(labels, usage.open_files)
        yield from (cpu, memory, files)


def forget_dead_gauges() -> None:
    """Take away what processes that are gone counted as open: sockets and streams.

    For whoever starts the processes, before it does: in a container that was restarted the next one has the same id,
    and would go on counting where the dead one was. What was counted up stays, so that it never goes down.
    """
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    for gauges in Path(directory).glob(f"{_LIVE_GAUGES}*_*.db") if directory else ():
        pid = int(gauges.stem.rpartition("_")[2])
        if pid == os.getpid() or _stat(pid) is None:
            gauges.unlink(missing_ok=True)


def resident_bytes(pid: int) -> int:
    """What a process has in memory. Raises FileNotFoundError if it has ended."""
    return int((_PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _alive() -> list[Process]:
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not directory:
        return list(_registered)
    found = []
    for note in Path(directory).glob(f"{_PREFIX}*"):
        part, pid = note.name.removeprefix(_PREFIX).rsplit("-", 1)
        try:
            process = Process(part, int(pid), note.read_text(encoding="ascii"))
        except FileNotFoundError:
            continue  # another scrape has just taken it away
        stat = _stat(process.pid)
        if stat is None or stat[19] != process.started:
            note.unlink(missing_ok=True)
        else:
            found.append(process)
    return found


def _usage(process: Process) -> Usage | None:
    """None when the process has just ended."""
    stat = _stat(process.pid)
    if stat is None:
        return None
    try:
        memory_bytes = resident_bytes(process.pid)
        open_files = sum(1 for _ in (_PROC / str(process.pid) / "fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return None
    except PermissionError:
        # Somebody else's since it changed its user: the rest is nobody's secret.
        open_files = 0
    ticks = int(stat[11]) + int(stat[12])
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), memory_bytes, open_files)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, which may hold spaces: [0] is the state, [11] and [12] the ticks of
    CPU, [19] the start. None for a process that has ended, even if nobody has asked yet how."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields
