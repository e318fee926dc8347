"""HDF5 files of the likelihood combiner lklcom: read and write (needs h5py, extra ``interop``).

Tables ``/<instrument>/<target>/<channel>/data`` and ``simu_<n>`` with the columns ``masses`` (f4)
and ``ts_values`` (f4, n values). Row 0 holds log10 J [GeV2 cm-5] and the *ascending* sigmav grid
[cm3 s-1]; the other rows a mass [GeV] and -2 ln L. A row whose likelihood is constant holds no
information. Names are matched exactly.
"""

import keyword
from pathlib import Path

import numpy as np

from dmgammapy.spectra import canonical_channel
from dmgammapy.utils import atomic_path

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
from .gloryduck import GLORYDUCK_CHANNELS

__all__ = [
    "DESCRIPTION", "identify", "list_lklcom_tables", "read", "write", "write_lklcom_tables",
]  # fmt: skip

DESCRIPTION = "lklcom tables, HDF5 (/<instrument>/<target>/<channel>/data: masses, ts_values)"
LEVELS = ("instrument", "target", "channel", "dataset")
COLUMNS = ("masses", "ts_values")


def _import_h5py(path):
    try:
        import h5py
    except ImportError:
        raise ImportError(
            f"{path}: lklcom files need h5py: pip install 'dmgammapy[interop]'."
        ) from None
    return h5py


def _open(source):
    h5py = _import_h5py(source.path)
    try:
        return h5py.File(source.path, "r")
    except OSError as error:
        raise ValueError(
            f"{source.path}: the HDF5 file is truncated or damaged ({error}); get it again."
        ) from None


def _list(file, path):
    """Names (instrument, target, channel, dataset) of all tables of an open file."""
    h5py = _import_h5py(path)
    found = []

    def visit(name, node):
        if isinstance(node, h5py.Dataset):
            found.append(tuple(name.split("/")))

    try:
        file.visititems(visit)
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"{path}: the HDF5 file is damaged ({error}); get it again.") from None
    return [names for names in found if len(names) == len(LEVELS)]


def list_lklcom_tables(path):
    """Names of the tables of an lklcom file.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Returns
    -------
    names : list of tuple
        ``(instrument, target, channel, dataset)``.

    Examples
    --------
    >>> from dmgammapy.estimators.io import list_lklcom_tables
    >>> list_lklcom_tables("gloryduck.hdf5")[0]  # doctest: +SKIP
    ('MAGIC', 'Segue1', 'bb', 'data')
    """
    source = TableFile(path)
    source.require_kind("hdf5", "lklcom tables are an HDF5 file")
    with _open(source) as file:
        return _list(file, source.path)


def identify(source):
    """Return None if the file has this format, otherwise the reason why not."""
    if source.kind != "hdf5":
        return "not an HDF5 file"
    try:
        with _open(source) as file:
            names = _list(file, source.path)
    except ImportError as error:
        return str(error)
    return None if names else "no dataset at /<instrument>/<target>/<channel>/"


def read(
    source, instrument=None, target=None, channel=None, dataset="data", process="annihilation",
    prior=None, cl=0.95,
):  # fmt: skip
    """Read the tables of one target and instrument.

    Parameters
    ----------
    source : `~dmgammapy.estimators.io._files.TableFile`
    instrument, target : str, optional
        Group names, exactly; needed where the file has several.
    channel : str or list of str, optional
        Group names, exactly, e.g. ``"bb"``; needed where the file has several.
    dataset : str
        ``data`` or ``simu_<n>``. Default is data.
    process : {"annihilation", "decay"}
        For decay the grid is the decay rate [s-1], row 0 holds log10 of D.
    prior : `~dmgammapy.modeling.JFactorPrior`, optional
        Width of the J-factor, which the format does not hold.
    cl : float
        Confidence level of the limits. Default is 0.95.

    Returns
    -------
    castro : `~dmgammapy.estimators.CastroMaps`
    """
    source.require_kind("hdf5", "lklcom tables are an HDF5 file")
    with _open(source) as file:
        names = _list(file, source.path)
        if not names:
            raise ValueError(
                f"{source.path}: no dataset at /<instrument>/<target>/<channel>/{dataset}."
            )
        instrument = _choose(names, 0, instrument, source.path)
        names = [n for n in names if n[0] == instrument]
        target = _choose(names, 1, target, source.path)
        names = [n for n in names if n[1] == target]
        wanted = [channel] if channel is None or isinstance(channel, str) else list(channel)
        parts, first = {}, None
        for one in wanted:
            group = _choose(names, 2, one, source.path)
            table = _choose([n for n in names if n[2] == group], 3, dataset, source.path)
            where = f"{source.path}, /{instrument}/{target}/{group}/{table}"
            part = _read_table(file[f"{instrument}/{target}/{group}/{table}"], where)
            first = part if first is None else first
            if part["log10_jfactor"] != first["log10_jfactor"]:
                raise ValueError(
                    f"{where}: log10 J is {part['log10_jfactor']}, but {first['log10_jfactor']} in "
                    f"{first['where']}; read the channels one by one."
                )
            name = canonical_channel(group)
            if name in parts:
                raise ValueError(f"{where}: the channel {name} comes twice.")
            parts[name] = part
    meta = CastroMetaData(
        target=target, instrument=instrument, process=process, prior=prior, cl=cl,
        log10_jfactor=first["log10_jfactor"], origin=f"{source.path} ({dataset})",
    )  # fmt: skip
    return join_channels(parts, meta)


def _choose(names, level, wanted, path):
    """Exact name at a level of the file, or an error that lists those present."""
    present = list(dict.fromkeys(n[level] for n in names))
    what = LEVELS[level]
    if wanted is None:
        if len(present) > 1:
            raise ValueError(
                f"{path}: several names for {what}: {', '.join(present)}; choose with {what}=."
            )
        return present[0]
    if wanted not in present:
        raise ValueError(
            f"{path}: no {what} {wanted!r}; present are {', '.join(present)} (names must match "
            "exactly)."
        )
    return wanted


def _digits(values):
    """Single-precision numbers as the shortest decimals they stand for: 19.36, not 19.3600006."""
    if values.dtype == np.float32:
        return np.array([float(str(v)) for v in values.ravel()]).reshape(values.shape)
    return values.astype(float)


def _read_table(dataset, where):
    names = dataset.dtype.names or ()
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(
            f"{where}: missing column {', '.join(missing)}; found {', '.join(names) or 'none'}."
        )
    try:
        table = dataset[()]
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{where}: the table is damaged ({error}).") from None
    masses, values = table["masses"], table["ts_values"]
    for name, array, ndim in (("masses", masses, 1), ("ts_values", values, 2)):
        if array.dtype.kind != "f" or array.ndim != ndim:
            raise ValueError(
                f"{where}: {name} must hold {'one number' if ndim == 1 else 'numbers'} per row, "
                f"got {array.dtype} of shape {array.shape}."
            )
    if len(table) < 2:
        raise ValueError(f"{where}: expected row 0 and at least one mass, got {len(table)} rows.")
    log10_jfactor = check_log10_jfactor(_digits(masses[:1])[0], f"{where}, row 0")
    strength = _digits(values[0])
    if (np.diff(strength) < 0).all():
        raise ValueError(
            f"{where}, row 0: the sigmav grid must ascend, it descends: is this a Glory Duck table "
            "copied as it is?"
        )
    check_strength(strength, f"{where}, row 0", lambda i: f"value {i}")
    masses = check_masses(_digits(masses[1:]), f"{where}, column masses")
    stat = values[1:].astype(float)
    empty = check_scan(stat, where, lambda m, i: f"row {m + 1} ({masses[m]:g} GeV), value {i}")
    return {
        "log10_jfactor": log10_jfactor, "masses": masses, "strength": strength, "stat": stat,
        "empty": empty, "where": where,
    }  # fmt: skip


# ---- writing -------------------------------------------------------------------------------------


def write(castro, path, target=None, instrument=None, dataset="data"):
    """Write all channels of one result; see `write_lklcom_tables` for several results.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        Before any J treatment.
    path : `~pathlib.Path`
    target, instrument : str, optional
        Group names. Default is those of the result; lklcom needs names that are Python
        identifiers.
    dataset : str
        ``data`` or ``simu_<n>``. Default is data.
    """
    h5py = _import_h5py(Path(path).name)
    with h5py.File(path, "w") as file:
        _write_tables(file, castro, Path(path).name, target, instrument, dataset)


def write_lklcom_tables(castros, path, dataset="data", overwrite=False):
    """Write results of several targets and instruments into one lklcom file.

    Parameters
    ----------
    castros : list of `~dmgammapy.estimators.CastroMaps`
        Each with ``meta.target`` and ``meta.instrument``, before any J treatment.
    path : str or `~pathlib.Path`
    dataset : str
        ``data`` or ``simu_<n>``. Default is data.
    overwrite : bool
        Replace an existing file. Default is False.

    Raises
    ------
    ValueError
        If a name is missing, no identifier, or a table comes twice.

    Examples
    --------
    >>> from dmgammapy.estimators.io import write_lklcom_tables
    >>> write_lklcom_tables(castros, "combination.hdf5")  # doctest: +SKIP
    """
    h5py = _import_h5py(path)
    with atomic_path(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        for castro in castros:
            _write_tables(file, castro, path, None, None, dataset)


def _write_tables(file, castro, path, target, instrument, dataset):
    require_untreated(castro, path, "an lklcom file")
    target, instrument = target or castro.meta.target, instrument or castro.meta.instrument
    if castro.meta.log10_jfactor is None:
        raise ValueError(f"{path}: {target}: the format needs J; set castro.meta.log10_jfactor.")
    if dataset != "data" and not (dataset.startswith("simu_") and dataset[5:].isdigit()):
        raise ValueError(f"{path}: dataset must be 'data' or 'simu_<n>', got {dataset!r}.")
    for what, name in (("instrument", instrument), ("target", target)):
        if not name or not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(
                f"{path}: the {what} {name!r} can't be a group: lklcom finds only names made of "
                f"letters, digits and underscores. Give another as {what}=."
            )
    strength, stat = common_strengths(castro, path)
    masses = castro.masses.to_value("GeV")
    dtype = np.dtype([("masses", "<f4"), ("ts_values", "<f4", (len(strength),))])
    for channel, rows in zip(castro.channels, stat, strict=True):
        table = np.zeros(len(masses) + 1, dtype=dtype)
        table["masses"] = np.append(castro.meta.log10_jfactor, masses)
        with np.errstate(over="ignore"):
            table["ts_values"] = np.vstack([strength, rows])
        grid = table["ts_values"][0]
        if not np.isfinite(table["ts_values"]).all() or not (np.diff(grid, prepend=0) > 0).all():
            raise ValueError(
                f"{path}: {target}, {channel}: the profile exceeds single precision, which the "
                "format has."
            )
        group = GLORYDUCK_CHANNELS.get(channel, channel)
        if not group.isidentifier():
            raise ValueError(f"{path}: the channel {channel!r} can't be a group of an lklcom file.")
        name = f"{instrument}/{target}/{group}/{dataset}"
        if name in file:
            raise ValueError(f"{path}: the table /{name} comes twice.")
        # chunked and with the attributes PyTables expects, which is how lklcom reads it
        data = file.create_dataset(name, data=table, maxshape=(None,), chunks=(1,))
        attributes = {"CLASS": "TABLE", "VERSION": "2.7", "TITLE": Path(name).name}
        attributes |= {f"FIELD_{i}_NAME": column for i, column in enumerate(COLUMNS)}
        for key, value in attributes.items():
            data.attrs[key] = np.bytes_(value)
