"""A Slurm of one node for a test: munged, slurmctld and slurmd of this user, in a folder and on ports of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CONFIG = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=localhost NodeAddr=127.0.0.1 NodeHostname=localhost CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def need() -> None:
    """Slurm has to be here where SEPCONV_SLURM says so, as in `.ci/run`; elsewhere a test skips without it."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing and os.environ.get("SEPCONV_SLURM"):
        pytest.fail(
            f"SEPCONV_SLURM is set, and {', '.join(missing)} is not installed (apt-get install slurm-wlm munge)"
        )
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed (Debian: slurm-wlm and munge); .ci/run installs it")


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    """Runs inside with SLURM_CONF set; afterwards no job and no daemon is left."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:  # munged wants everybody to reach its socket
        Path(folder).chmod(0o755)
        with _daemons(Path(folder)):
            yield


@contextlib.contextmanager
def _daemons(folder: Path) -> Iterator[None]:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    config = folder / "slurm.conf"
    megabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    config.write_text(
        CONFIG.format(
            folder=folder,
            user=os.getuid(),
            ports=_free_ports(2),
            cpus=len(os.sched_getaffinity(0)),
            memory=megabytes * 4 // 5,
        )
    )
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = (f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "pid", "seed", "log"))
    commands = [
        ["munged", "--foreground", f"--socket={folder}/munge.socket", *files],
        ["slurmctld", "-D", "-f", str(config)],
        ["slurmd", "-D", "-f", str(config), "-N", "localhost"],
    ]
    daemons: list[subprocess.Popen[bytes]] = []
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("PATH", PATH)
        patch.setenv("SLURM_CONF", str(config))
        stack.callback(_stop, daemons)
        for command in commands:
            log = stack.enter_context(open(folder / f"{command[0]}.out", "wb"))
            daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
            if command[0] == "munged":
                _wait((folder / "munge.socket").exists, daemons, folder)
        _wait(lambda: slurm("sinfo", "--noheader", "--format=%T") == "idle", daemons, folder)
        stack.callback(_cancel_all)
        yield


def slurm(*command: str) -> str:
    """What a command of Slurm's prints, without the outer white space; empty if it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(ready: Callable[[], bool], daemons: list[subprocess.Popen[bytes]], folder: Path) -> None:
    deadline = time.monotonic() + 40
    while not ready():
        if time.monotonic() > deadline or any(d.poll() is not None for d in daemons):
            said = "\n".join(f"{p.name}: {p.read_text()[-2000:]}" for p in folder.glob("*.out"))
            raise AssertionError(f"Slurm does not start:\n{said}")
        time.sleep(0.1)


def _cancel_all() -> None:
    slurm("scancel", f"--user={os.getuid()}")
    deadline = time.monotonic() + 20
    while slurm("squeue", "--noheader") and time.monotonic() < deadline:
        time.sleep(0.2)


def _stop(daemons: list[subprocess.Popen[bytes]]) -> None:
    for daemon in reversed(daemons):
        daemon.terminate()
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
