"""Computing centres: what their queues want to be told, and clusters of dask workers.

`job_script` is one job that runs the whole analysis on one machine; `dask_job_script` is what is
sent to the queue for each group of workers when the analysis is started with ``backend: dask``.

Only the standard library is imported, dask when it is needed.
"""

import difflib
import logging
import math
import re
import shlex
import signal
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.util import find_spec

from ._workers import WORKER_ENVIRONMENT

__all__ = [
    "CLUSTERS",
    "SCHEDULERS",
    "JobOptions",
    "dask_job_script",
    "job_script",
    "make_cluster",
    "parse_memory",
    "parse_walltime",
    "require_dask",
]

SCHEDULERS = ("slurm", "htcondor", "lsf")
CLUSTERS = ("local", *SCHEDULERS)
# as everywhere: MB is 1e6 bytes, MiB is 2**20
MEMORY_UNITS = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
ONLY = {  # options that not every scheduler has
    "queue": ("slurm", "lsf"),
    "disk": ("htcondor",),
}
LOCAL = ("memory",)


@dataclass(frozen=True)
class JobOptions:
    """What a job asks for.

    Parameters
    ----------
    cores : int
        Default is 1.
    memory : str
        Of the job, such as ``"4GB"`` (4e9 bytes) or ``"4GiB"`` (2**32 bytes). Default is ``"4GB"``;
        workers on this machine have no limit unless it is given.
    walltime : str or int
        Longest time, ``"HH:MM:SS"`` or ``"D-HH:MM:SS"``, or seconds. Default is ``"02:00:00"``.
    queue : str, optional
        Queue of LSF, partition of Slurm; HTCondor has none.
    account : str, optional
        Account of Slurm, project of LSF, accounting group of HTCondor.
    name : str
        Default is ``"dmgammapy"``.
    log_directory : str, optional
        Where the job's output goes; it has to be there.
    disk : str
        Scratch space, for HTCondor. Default is ``"1GB"``.
    prologue : sequence of str
        Shell commands to be done before, such as ``"module load python"``.
    directives : sequence of str
        More directives, as the scheduler wants them, without ``#SBATCH`` or ``#BSUB``.
    processes : int, optional
        Dask workers in a job. Default is one per core.
    interface : str, optional
        Network interface of dask, such as ``"ib0"``.
    """

    cores: int = 1
    memory: str | int | None = None
    walltime: str | int = "02:00:00"
    queue: str | None = None
    account: str | None = None
    name: str = "dmgammapy"
    log_directory: str | None = None
    disk: str | int = "1GB"
    prologue: tuple = ()
    directives: tuple = ()
    processes: int | None = None
    interface: str | None = None

    def __post_init__(self):
        for name in ("cores", "processes"):
            n = getattr(self, name)
            if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
                raise ValueError(f"{name} must be a positive whole number, got {n!r}.")
        for name in ("prologue", "directives"):
            lines = getattr(self, name)
            if isinstance(lines, str) or not all(isinstance(line, str) for line in lines):
                raise ValueError(f"{name} must be a list of lines, got {lines!r}.")
        for name in ("queue", "account", "name", "log_directory", "interface"):
            text = getattr(self, name)
            if text is not None and not (isinstance(text, str) and re.fullmatch(r"\S+", text)):
                raise ValueError(f"{name} must be a text without blanks, got {text!r}.")
        for name in ("memory", "disk"):
            if getattr(self, name) is not None:
                parse_memory(getattr(self, name), name)
        parse_walltime(self.walltime)

    @classmethod
    def from_dict(cls, cluster, options):
        """Options of a cluster, checked.

        Parameters
        ----------
        cluster : {"local", "slurm", "htcondor", "lsf"}
        options : dict

        Raises
        ------
        ValueError
            If one is not known, with the one that is closest, or wrong.
        """
        _check_name(cluster, CLUSTERS, "cluster")
        names = [field.name for field in fields(cls)]
        known = [
            name
            for name in names
            if (cluster != "local" or name in LOCAL) and cluster in ONLY.get(name, (cluster,))
        ]
        for name in options:
            if name in names and name not in known:
                raise ValueError(f"{cluster} has no option {name!r}, only {', '.join(known)}.")
            _check_name(name, known, f"option of {cluster}")
        made = cls(**options)
        if cluster == "htcondor" and not all("=" in line for line in made.directives):
            raise ValueError(
                f"directives of htcondor must be 'name = value', got {made.directives!r}."
            )
        return made

    @property
    def memory_bytes(self):
        """Memory of the job in bytes."""
        return parse_memory("4GB" if self.memory is None else self.memory)


def _check_name(name, known, what):
    if name not in known:
        close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise ValueError(f"{what} must be one of {', '.join(known)}, got {name!r}{hint}")


def parse_memory(text, name="memory"):
    """Bytes of a text such as ``"4GB"``.

    Parameters
    ----------
    text : str or int
        With a unit, or bytes.
    name : str
        What it is, for errors.

    Returns
    -------
    n_bytes : int

    Examples
    --------
    >>> from dmgammapy.analysis.cluster import parse_memory
    >>> parse_memory("4GB"), parse_memory("1.5 GiB")
    (4000000000, 1610612736)
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([a-zA-Z]*)\s*", str(text))
    units = {unit.lower(): n for unit, n in MEMORY_UNITS.items()}
    unit = match[2].lower() or "b" if match else None
    if unit not in units or float(match[1]) <= 0 or (unit == "b" and float(match[1]) < 2**20):
        raise ValueError(
            f"{name} must be a number with one of the units {', '.join(MEMORY_UNITS)}, such as "
            f"'4GB', and at least 1 MiB, got {text!r}."
        )
    return math.ceil(float(match[1]) * units[unit])


def parse_walltime(text):
    """Seconds of a time such as ``"02:00:00"``.

    Parameters
    ----------
    text : str or int
        ``"HH:MM:SS"``, ``"D-HH:MM:SS"`` or seconds; YAML makes seconds of ``12:00:00`` without
        quotes.

    Returns
    -------
    seconds : int

    Examples
    --------
    >>> from dmgammapy.analysis.cluster import parse_walltime
    >>> parse_walltime("02:30:00"), parse_walltime("1-00:00:00")
    (9000, 86400)
    """
    if isinstance(text, int) and not isinstance(text, bool) and text > 0:
        return text
    match = re.fullmatch(r"(?:([0-9]+)-)?([0-9]+):([0-5][0-9]):([0-5][0-9])", str(text))
    seconds = 0
    if match:
        days, hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if seconds == 0:
        raise ValueError(
            f"walltime must be 'HH:MM:SS' or 'D-HH:MM:SS', such as '02:00:00', got {text!r}."
        )
    return seconds


def job_script(scheduler, command, options=None):
    """Script of one job that runs a command, such as the whole analysis.

    Parameters
    ----------
    scheduler : {"slurm", "htcondor", "lsf"}
        To be sent with ``sbatch job.sh``, ``condor_submit job.sub``, ``bsub < job.sh``.
    command : str or sequence of str
        Such as ``["dmgammapy", "run", "config.yaml", "--n-jobs", "8"]``.
    options : dict, optional
        See `JobOptions`.

    Returns
    -------
    script : str

    Raises
    ------
    ValueError
        If an option is not known, with the one that is closest, or wrong.

    Examples
    --------
    >>> from dmgammapy.analysis.cluster import job_script
    >>> options = {"cores": 8, "memory": "16GiB", "walltime": "04:00:00"}
    >>> print(job_script("slurm", "dmgammapy run config.yaml", options))
    #!/bin/bash
    #SBATCH --job-name=dmgammapy
    #SBATCH --nodes=1
    #SBATCH --ntasks=1
    #SBATCH --cpus-per-task=8
    #SBATCH --mem=16384M
    #SBATCH --time=04:00:00
    <BLANKLINE>
    set -e
    dmgammapy run config.yaml
    """
    _check_name(scheduler, SCHEDULERS, "scheduler")
    job = JobOptions.from_dict(scheduler, dict(options or {}))
    text = command if isinstance(command, str) else shlex.join(map(str, command))
    return {"slurm": _slurm, "htcondor": _htcondor, "lsf": _lsf}[scheduler](job, text)


def _shell_script(directives, job, command):
    lines = ["#!/bin/bash", *directives, "", "set -e", *job.prologue, command]
    return "\n".join(lines) + "\n"


def _slurm(job, command):
    """Slurm's M is 2**20 bytes."""
    seconds = parse_walltime(job.walltime)
    pairs = [
        ("job-name", job.name),
        ("partition", job.queue),
        ("account", job.account),
        ("nodes", 1),
        ("ntasks", 1),
        ("cpus-per-task", job.cores),
        ("mem", f"{math.ceil(job.memory_bytes / 2**20)}M"),
        ("time", f"{_hours(seconds)}:{seconds % 60:02d}"),
        ("output", job.log_directory and f"{job.log_directory}/{job.name}-%j.out"),
        ("error", job.log_directory and f"{job.log_directory}/{job.name}-%j.err"),
    ]
    directives = [f"#SBATCH --{name}={value}" for name, value in pairs if value is not None]
    return _shell_script(directives + [f"#SBATCH {d}" for d in job.directives], job, command)


def _hours(seconds):
    """Hours and minutes, HH:MM."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"


def _lsf(job, command):
    """LSF counts in minutes; without a unit the memory would be in what the site has chosen."""
    directives = [
        ("-J", job.name),
        ("-q", job.queue),
        ("-P", job.account),
        ("-n", job.cores),
        ("-R", '"span[hosts=1]"'),
        ("-M", f"{math.ceil(job.memory_bytes / 10**6)}MB"),
        ("-W", _hours(60 * math.ceil(parse_walltime(job.walltime) / 60))),
        ("-o", job.log_directory and f"{job.log_directory}/{job.name}-%J.out"),
        ("-e", job.log_directory and f"{job.log_directory}/{job.name}-%J.err"),
    ]
    lines = [f"#BSUB {name} {value}" for name, value in directives if value is not None]
    return _shell_script(lines + [f"#BSUB {d}" for d in job.directives], job, command)


def _htcondor(job, command):
    """HTCondor's memory is in MiB, its disk in KiB; it starts programs, not scripts of ours."""
    script = "; ".join(["set -e", *job.prologue, command])
    # within double quotes, arguments with blanks stand in single ones; quotes are doubled
    script = script.replace("'", "''").replace('"', '""')
    logs = f"{job.log_directory}/" if job.log_directory else ""
    pairs = [
        ("universe", "vanilla"),
        ("batch_name", job.name),
        ("accounting_group", job.account),
        ("executable", "/bin/bash"),
        ("arguments", f"\"-c '{script}'\""),
        ("transfer_executable", "false"),
        ("getenv", "true"),
        ("request_cpus", job.cores),
        ("request_memory", math.ceil(job.memory_bytes / 2**20)),
        ("request_disk", math.ceil(parse_memory(job.disk, "disk") / 2**10)),
        ("allowed_job_duration", parse_walltime(job.walltime)),
        ("output", f"{logs}{job.name}-$(ClusterId).out"),
        ("error", f"{logs}{job.name}-$(ClusterId).err"),
        ("log", f"{logs}{job.name}-$(ClusterId).log"),
    ]
    lines = [f"{name} = {value}" for name, value in pairs if value is not None]
    return "\n".join([*lines, *job.directives, "queue"]) + "\n"


def require_dask(cluster):
    """Raise ImportError, with what to install, if a cluster needs packages that are absent."""
    needed = ["dask", "distributed"] + (["dask_jobqueue"] if cluster != "local" else [])
    missing = [name.replace("_", "-") for name in needed if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"the cluster {cluster!r} needs {' and '.join(missing)}: pip install "
            '"dmgammapy[cluster]".'
        )


def make_cluster(cluster, workers, options=None):
    """Start a dask cluster.

    Parameters
    ----------
    cluster : {"local", "slurm", "htcondor", "lsf"}
    workers : int
    options : dict, optional
        See `JobOptions`.

    Returns
    -------
    cluster : `~distributed.deploy.Cluster`

    Raises
    ------
    ValueError
        If an option is not known, with the one that is closest, or wrong.
    ImportError
        If dask is not installed.
    """
    job = JobOptions.from_dict(cluster, dict(options or {}))
    require_dask(cluster)
    if cluster == "local":
        from distributed import LocalCluster

        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            memory_limit=None if job.memory is None else job.memory_bytes,
            env=WORKER_ENVIRONMENT | {"DASK_LOGGING__DISTRIBUTED": "critical"},
        )
    made = _jobqueue(cluster, "Cluster")(
        scheduler_options={"dashboard": False, "dashboard_address": None},
        silence_logs=logging.CRITICAL,
        **_dask_options(cluster, job),
    )
    made.scale(n=workers)
    return made


def dask_job_script(scheduler, options=None):
    """Script that dask-jobqueue sends to the queue for each group of workers.

    Parameters
    ----------
    scheduler : {"slurm", "htcondor", "lsf"}
    options : dict, optional
        See `JobOptions`.

    Returns
    -------
    script : str
        With ``tcp://scheduler:8786`` for the address, which is known when the analysis runs.

    Raises
    ------
    ValueError
        If an option is not known, with the one that is closest, or wrong.
    ImportError
        If dask-jobqueue is not installed.
    """
    _check_name(scheduler, SCHEDULERS, "scheduler")
    job = JobOptions.from_dict(scheduler, dict(options or {}))
    require_dask(scheduler)
    made = _jobqueue(scheduler, "Job")(
        scheduler="tcp://scheduler:8786", name=job.name, **_dask_options(scheduler, job)
    )
    return made.job_script()


def _jobqueue(scheduler, kind):
    prefix = {"slurm": "SLURM", "htcondor": "HTCondor", "lsf": "LSF"}[scheduler]
    before = signal.getsignal(signal.SIGINT)
    module = import_module(f"dask_jobqueue.{scheduler}")
    if signal.getsignal(signal.SIGINT) is not before:
        # importing it turns Ctrl-C into SystemExit, which a task that runs here would swallow
        signal.signal(signal.SIGINT, before)
    return getattr(module, prefix + kind)


def _dask_options(scheduler, job):
    """Our options by the names of dask-jobqueue."""
    seconds = parse_walltime(job.walltime)
    exports = [f"export {name}={value}" for name, value in WORKER_ENVIRONMENT.items()]
    given = {
        "cores": job.cores,
        "processes": job.processes or job.cores,
        "memory": f"{job.memory_bytes}B",
        "job_name": job.name,
        "log_directory": job.log_directory,
        "interface": job.interface,
        "job_script_prologue": [*job.prologue, *exports],
    }
    if scheduler == "slurm":
        given |= {"queue": job.queue, "account": job.account}
        given |= {"walltime": f"{_hours(seconds)}:{seconds % 60:02d}"}
        given |= {"job_extra_directives": list(job.directives)}
    elif scheduler == "lsf":
        given |= {"queue": job.queue, "project": job.account}
        given |= {"walltime": _hours(60 * math.ceil(seconds / 60))}
        given |= {"job_extra_directives": list(job.directives)}
    else:
        extra = dict(map(str.strip, line.split("=", 1)) for line in job.directives)
        extra |= {"allowed_job_duration": seconds}
        if job.account is not None:
            extra["accounting_group"] = job.account
        given |= {"disk": f"{parse_memory(job.disk, 'disk')}B", "job_extra_directives": extra}
    return {name: value for name, value in given.items() if value is not None}
