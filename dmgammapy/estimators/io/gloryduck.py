"""Glory Duck tables, the text format of gLike and its combiners: read and write.

One file holds one channel of one target and instrument, named
``<channel>_<target>_<instrument>[_<simulation>].txt``. Its first line is ``logJ m1 m2 ...`` (log10
of J in GeV2 cm-5, masses in GeV), the others are ``sigmav stat(m1) stat(m2) ...`` with sigmav
[cm3 s-1] *descending* and ``stat`` = -2 ln L. A mass whose ``stat`` is constant holds no
information. The width of the J-factor is not part of the format.
"""

import logging
import math
from functools import partial
from pathlib import Path

import numpy as np

from dmgammapy.spectra import canonical_channel

from ..metadata import CastroMetaData
from ._files import TableFile
from ._tables import (
    check_log10_jfactor,
    check_masses,
    check_scan,
    check_strength,
    common_strengths,
    join_channels,
    require_untreated,
)

__all__ = [
    "DESCRIPTION", "GLORYDUCK_CHANNELS", "identify", "parse_name", "plan_files", "read",
    "read_gloryduck_channels",
]  # fmt: skip

log = logging.getLogger(__name__)

DESCRIPTION = "Glory Duck table, text (line 1: log10 J and masses; then sigmav and -2 ln L)"
GRAMMAR = "<channel>_<target>_<instrument>[_<simulation>].txt"

MOST_EXTRAPOLATED = 1.0  # of stat, from the weakest signal to none
STAT_NOISE = 1e-15  # what subtracting the minimum of stat leaves
DOUBLED = ("e", "mu", "tau", "q", "u", "d", "s", "c", "b", "t", "W", "Z", "g", "gamma", "h")
GLORYDUCK_CHANNELS = {name: 2 * name for name in DOUBLED}
"""Channel names in files of this kind, where they differ from the canonical ones."""


def identify(source):
    """Return None if the file has this format, otherwise the reason why not."""
    if source.kind != "text":
        return "not a text file"
    lines = source.text.splitlines()[:4]
    if len(lines) < 4:
        return f"{len(lines)} lines, needs a header and at least 4 strengths"
    try:
        rows = [[float(word) for word in line.split()] for line in lines]
    except ValueError:
        return "the first lines are not plain numbers"
    if len(rows[0]) < 2 or len({len(row) for row in rows}) > 1:
        return f"the first lines have {[len(row) for row in rows]} numbers, expected equal counts"
    if not rows[1][0] > rows[2][0] > rows[3][0]:
        return "the first column does not descend after line 1"
    return None


def parse_name(path):
    """Channel, target, instrument and simulation a file name tells.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Returns
    -------
    channel, target, instrument : str
        The channel in its canonical name.
    simulation : str or None

    Raises
    ------
    ValueError
        If the name is not ``<channel>_<target>_<instrument>[_<simulation>].txt``.

    Examples
    --------
    >>> from dmgammapy.estimators.io.gloryduck import parse_name
    >>> parse_name("bb_Segue1_IACT.txt")
    ('b', 'Segue1', 'IACT', None)
    """
    name = Path(path).name
    words = name.removesuffix(".gz").removesuffix(".txt").removesuffix(".dat").split("_")
    for n_channel in (1, 2):  # nu_e and its like have an underscore themselves
        rest = words[n_channel:]
        if len(rest) not in (2, 3) or not all(rest):
            continue
        try:
            channel = canonical_channel("_".join(words[:n_channel]))
        except ValueError:
            continue
        return channel, rest[0], rest[1], rest[2] if len(rest) == 3 else None
    raise ValueError(
        f"{name}: the name does not follow {GRAMMAR} with a known channel and no underscore in "
        "target or instrument; rename the file, or give channel=, target= and instrument=."
    )


def read(
    source, target=None, channel=None, instrument=None, process="annihilation", prior=None, cl=0.95
):
    """Read one table.

    Parameters
    ----------
    source : `~dmgammapy.estimators.io._files.TableFile`
    target, channel, instrument : str, optional
        Instead of what the file name says; needed where it says nothing.
    process : {"annihilation", "decay"}
        For decay the first column is the decay rate [s-1], the first number log10 of D.
    prior : `~dmgammapy.modeling.JFactorPrior`, optional
        Width of the J-factor, which the format does not hold.
    cl : float
        Confidence level of the limits. Default is 0.95.

    Returns
    -------
    castro : `~dmgammapy.estimators.CastroMaps`
    """
    part, meta, channel = _read_part(source, target, channel, instrument, process, prior, cl)
    return join_channels({channel: part}, meta)


def _read_part(source, target, channel, instrument, process, prior, cl):
    source.require_kind("text", "a Glory Duck table is a text file")
    notes = []
    if None in (target, channel, instrument):
        named = parse_name(source.path)
        channel = named[0] if channel is None else channel
        target = named[1] if target is None else target
        instrument = named[2] if instrument is None else instrument
        if named[3] is not None:
            notes.append(f"{source.name}: simulation {named[3]}.")
    meta = CastroMetaData(
        target=target, instrument=instrument, process=process, prior=prior, cl=cl,
        origin=str(source.path), notes=notes,
    )  # fmt: skip
    part = _parse(source)
    meta.log10_jfactor = part.pop("log10_jfactor")
    return part, meta, canonical_channel(channel)


def _parse(source):
    """Numbers of a table, checked."""
    table = _numbers(source)
    where = str(source.path)
    log10_jfactor = check_log10_jfactor(table[0, 0], f"{where}, line 1")
    masses = check_masses(table[0, 1:], f"{where}, line 1")
    strength = table[:0:-1, 0]  # ascending from here on
    n_rows = len(table)
    if len(strength) > 1 and (np.diff(strength) < 0).all():
        raise ValueError(
            f"{where}, line 2: the first column must descend (strongest signal first), it ascends."
        )

    def place(index):
        return f"line {n_rows - index}"

    check_strength(strength, where, place)
    stat = np.ascontiguousarray(table[:0:-1, 1:].T)
    empty = check_scan(
        stat, where, lambda mass, norm: f"{place(norm)}, column {mass + 2} ({masses[mass]:g} GeV)"
    )
    _check_weak_end(stat, strength, masses, where)
    return {
        "log10_jfactor": log10_jfactor, "masses": masses, "strength": strength, "stat": stat,
        "empty": empty, "where": source.name,
    }  # fmt: skip


def _check_weak_end(stat, strength, masses, where):
    """Refuse a table whose weakest signals are missing: its minimum would be a guess."""
    if strength[0] == 0:
        return
    zero = stat[:, 0] - strength[0] * (stat[:, 1] - stat[:, 0]) / (strength[1] - strength[0])
    below = stat.min(axis=1) - zero
    mass = int(np.argmax(below))
    if below[mass] > MOST_EXTRAPOLATED:
        raise ValueError(
            f"{where}: the weakest signal of the table, {strength[0]:.3g}, is so strong that stat "
            f"would fall by another {below[mass]:.2g} down to no signal ({masses[mass]:g} GeV); is "
            "the file cut off? Add rows of weaker signals, or use CastroMaps.from_scan, which "
            "extrapolates and marks such limits."
        )


def _numbers(source):
    """All numbers of a text file with equally long lines, array (n_lines, n_columns)."""
    lines = source.text.rstrip().splitlines()
    if not source.text.endswith(("\n", "\r")):
        raise ValueError(
            f"{source.path}, line {len(lines)}: the last line has no end, so its last number may "
            "be cut off; get the file again, or add a newline if it is complete."
        )
    rows = [line.split() for line in lines]
    n_columns = len(rows[0])
    if n_columns < 2:
        raise ValueError(
            f"{source.path}, line 1: expected log10 J and at least one mass, got {lines[0]!r}."
        )
    for number, row in enumerate(rows, start=1):
        if len(row) != n_columns:
            raise ValueError(
                f"{source.path}, line {number}: expected {n_columns} numbers as in line 1, got "
                f"{len(row)}; is the file truncated, or made of two tables?"
            )
    try:
        return np.array(rows, dtype=float)
    except ValueError:
        pass
    for number, row in enumerate(rows, start=1):
        for position, word in enumerate(row, start=1):
            try:
                float(word)
            except ValueError:
                raise ValueError(
                    f"{source.path}, line {number}, column {position}: {word!r} is not a number."
                ) from None
    raise ValueError(f"{source.path}: not a table of numbers.")


def read_gloryduck_channels(paths, **kwargs):
    """Read the files of several channels of one target and instrument into one result.

    Parameters
    ----------
    paths : list of str or `~pathlib.Path`, or dict
        One per channel. With a dict by channel the names of the files may be any, if target and
        instrument are given.
    **kwargs
        ``target``, ``instrument``, ``process``, ``prior``, ``cl``: see `read`.

    Returns
    -------
    castro : `~dmgammapy.estimators.CastroMaps`
        On all masses that occur; those a channel does not have are without information.

    Raises
    ------
    ValueError
        If targets, instruments, J-factors or the grids of sigmav differ, or a channel comes twice.

    Examples
    --------
    >>> from dmgammapy.estimators.io import read_gloryduck_channels
    >>> castro = read_gloryduck_channels(
    ...     ["bb_Segue1_IACT.txt", "tautau_Segue1_IACT.txt"]
    ... )  # doctest: +SKIP
    """
    if isinstance(paths, dict):
        channels, paths = list(paths), list(paths.values())
    else:
        paths = [paths] if isinstance(paths, str | Path) else list(paths)
        channels = [None] * len(paths)
    if not paths:
        raise ValueError("read_gloryduck_channels needs at least one file, got none.")
    options = {
        "target": None, "channel": None, "instrument": None, "process": "annihilation",
        "prior": None, "cl": 0.95,
    }  # fmt: skip
    unknown = sorted(set(kwargs) - set(options) | ({"channel"} & set(kwargs)))
    if unknown:
        raise TypeError(f"read_gloryduck_channels: unexpected arguments {unknown}.")
    parts, first, first_path, notes = {}, None, None, []
    for path, given in zip(paths, channels, strict=True):
        part, meta, channel = _read_part(TableFile(path), **(options | kwargs | {"channel": given}))
        if first is None:
            first, first_path, strength = meta, path, part["strength"]
        for field in ("target", "instrument", "log10_jfactor"):
            if getattr(meta, field) != getattr(first, field):
                raise ValueError(
                    f"{path}: {field} is {getattr(meta, field)!r}, but "
                    f"{getattr(first, field)!r} in {first_path}; read them one by one."
                )
        if channel in parts:
            raise ValueError(
                f"{path}: the channel {channel} comes twice ({parts[channel]['where']})."
            )
        if not np.array_equal(part["strength"], strength):
            raise ValueError(
                f"{path}: its signal strengths differ from those of {first_path}; read them one "
                "by one."
            )
        parts[channel] = part
        notes += meta.notes
    first.origin = ", ".join(str(path) for path in paths)
    first.notes = notes
    return join_channels(parts, first)


# ---- writing -------------------------------------------------------------------------------------


def plan_files(castro, path, target=None, instrument=None, check_name=True):
    """Files to write, one per channel, all on the same signal strengths.

    Numbers are written with all their digits. The J-factor width and the absolute likelihood are
    not part of the format.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        Before any J treatment.
    path : `~pathlib.Path`
        ``<channel>_<target>_<instrument>[_<simulation>].txt``: only the name says what is inside.
        May hold ``{channel}``, ``{target}`` and ``{instrument}``; with several channels it must
        hold the first.
    target, instrument : str, optional
        Names in this format, where those of the result can't be part of a file name.
    check_name : bool
        Refuse a file name that does not say what is inside. Default is True.

    Returns
    -------
    files : list of (path, function)
        The function writes the file to the path it is given.
    """
    require_untreated(castro, path, "a Glory Duck table")
    if len(castro.channels) > 1 and "{channel}" not in str(path):
        raise ValueError(
            f"{path}: a Glory Duck file holds one channel, the result has {castro.channels}; put "
            "{channel} into the path to write one file each, or pick one with "
            "slice_by_coord({'channel': ...})."
        )
    if castro.meta.log10_jfactor is None:
        raise ValueError(f"{path}: the format needs J; set castro.meta.log10_jfactor.")
    if castro.meta.prior is not None:
        log.info("%s: the width of the J-factor is not part of the format.", path)
    target, instrument = target or castro.meta.target, instrument or castro.meta.instrument
    strength, stat = common_strengths(castro, path)
    masses = castro.masses.to_value("GeV")
    header = [repr(float(castro.meta.log10_jfactor)), *(_number(m) for m in masses)]
    files = []
    for channel, rows in zip(castro.channels, stat, strict=True):
        filled = str(path).replace("{channel}", GLORYDUCK_CHANNELS.get(channel, channel))
        filled = filled.replace("{target}", str(target)).replace("{instrument}", str(instrument))
        if check_name:
            _check_name(filled, channel, target, instrument)
        files.append((Path(filled), partial(_write_table, header, strength, rows)))
    return files


def _write_table(header, strength, stat, path):
    lines = [" ".join(header)]
    for s, row in zip(strength[::-1], stat.T[::-1], strict=True):
        lines.append(" ".join([_number(s), *(_number(v, STAT_NOISE) for v in row)]))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _number(value, noise=0.0):
    """Shortest text of a number, without the rounding that arithmetic left in its last bits."""
    value = float(value)
    short = f"{value:.12g}"
    return short if abs(float(short) - value) <= 2 * math.ulp(value) + noise else repr(value)


def _check_name(path, channel, target, instrument):
    word = GLORYDUCK_CHANNELS.get(channel, channel)
    remedy = f"name it {word}_{target}_{instrument}.txt"
    if not target or not instrument or "_" in target or "_" in instrument:
        remedy = (
            f"the target is {target!r} and the instrument {instrument!r}; give target= and "
            "instrument= without underscore for the name"
        )
    try:
        found = parse_name(path)[:3]
    except ValueError:
        found = None
    if found != (channel, target, instrument):
        raise ValueError(
            f"{path}: the file name must tell channel, target and instrument, as {GRAMMAR}: "
            f"{remedy}, or pass check_name=False."
        )
