"""A SLURM of one node on this machine, with munge, in a folder of a test; needs root."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel")
_SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_PATIENCE = 30.0  # seconds


def missing() -> str:
    """What is missing to run SLURM here; "" if nothing is."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_SEARCHED) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (Debian: slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "SLURM's daemons have to be started as root"


@contextmanager
def real_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start munged, slurmctld and slurmd on free ports; yields the environment to use them.

    Raises:
        RuntimeError: the node does not come up; with the end of the logs.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key, munge_socket = folder / "munge.key", folder / "munge.socket"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    folder.chmod(0o755)
    config = folder / "slurm.conf"
    config.write_text(_config(folder, munge_socket))
    environment = {**os.environ, "SLURM_CONF": str(config), "PATH": _SEARCHED}
    munge = ["munged", "--force", f"--key-file={key}", f"--socket={munge_socket}",
             f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
             f"--seed-file={folder}/munged.seed"]  # fmt: skip
    subprocess.run(munge, env=environment, check=True, timeout=30)
    daemons = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
        for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", "here"])
    ]  # fmt: skip
    try:
        _wait_for_node(folder, environment)
        yield environment
        _empty_the_queue(environment)
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        pid = (folder / "munged.pid").read_text().strip()
        subprocess.run(["kill", pid], check=False)


def _config(folder: Path, munge_socket: Path) -> str:
    controller, node = _free_ports(2)
    cores, host = os.cpu_count() or 1, socket.gethostname()
    return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge_socket}
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=here NodeAddr=127.0.0.1 NodeHostname={host} Port={node} CPUs={cores}
PartitionName=main Nodes=here Default=YES MaxTime=INFINITE State=UP
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_for_node(folder: Path, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + _PATIENCE
    said = ""
    while time.monotonic() < deadline:
        shown = subprocess.run(["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True,
                               text=True, timeout=30)  # fmt: skip
        said = shown.stdout + shown.stderr
        if "idle" in said:
            return
        time.sleep(0.3)
    logs = [path.read_text()[-1500:] for path in sorted(folder.glob("slurm*.log"))]
    raise RuntimeError("\n".join([said, *logs]))


def _empty_the_queue(environment: dict[str, str]) -> None:
    """Cancel what goes on and wait for it: else its steps outlive the daemons."""
    deadline = time.monotonic() + _PATIENCE
    asked: list[str] = []
    while time.monotonic() < deadline:
        shown = subprocess.run(["squeue", "-h", "-o", "%i"], env=environment, capture_output=True,
                               text=True, timeout=30)  # fmt: skip
        jobs = shown.stdout.split()
        if not jobs:
            return
        if jobs != asked:
            subprocess.run(["scancel", *jobs], env=environment, check=False, timeout=30)
            asked = jobs
        time.sleep(0.3)
