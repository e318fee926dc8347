"""Files of the LAT's calibration database: where they are, what their tables hold."""

import os
import re
from pathlib import Path

import numpy as np
from astropy.io import fits

from dmgammapy.utils import FITS_DAMAGE

from ._cuts import EVENT_CLASSES, EVENT_TYPES

__all__ = [
    "EVENT_CLASSES",
    "EVENT_TYPES",
    "PARTITIONS",
    "class_mask",
    "find_irf_files",
    "read_grid",
    "read_parameters",
    "resolve_event_types",
    "type_mask",
]

PARTITIONS = {
    "FB": ("FRONT", "BACK"),
    "PSF": ("PSF0", "PSF1", "PSF2", "PSF3"),
    "EDISP": ("EDISP0", "EDISP1", "EDISP2", "EDISP3"),
}
KINDS = {"aeff": "ea", "psf": "psf", "edisp": "edisp"}
BOUNDS = ("ENERG_LO", "ENERG_HI", "CTHETA_LO", "CTHETA_HI")
NAME = re.compile(r"(aeff|psf|edisp)_(.+)_(FB|PSF|EDISP)\.fits$")


def class_mask(irfs):
    """Bit of the event class in the name of a response, int.

    Raises
    ------
    ValueError
        If the name is not like ``P8R3_SOURCE_V3`` or has an unknown class.
    """
    match = re.fullmatch(r"P8R\d+_([A-Z0-9]+)_V\d+\w*", irfs)
    if match is None or match[1] not in EVENT_CLASSES:
        raise ValueError(
            f"unknown response {irfs!r}; expected a Pass 8 name like P8R3_SOURCE_V3 with one of "
            f"the event classes {', '.join(EVENT_CLASSES)}."
        )
    return EVENT_CLASSES[match[1]]


def type_mask(event_types):
    """Bits of event types, int."""
    return sum(EVENT_TYPES[name] for name in event_types)


def resolve_event_types(event_type):
    """Partition and names of event types.

    Parameters
    ----------
    event_type : str, int or list of str
        A partition (FB, PSF, EDISP), event types of one partition, or a bit mask (3 is FB).

    Returns
    -------
    partition : str
    event_types : list of str
        In the order of their bits.

    Raises
    ------
    ValueError
        If a type is unknown, or types of two partitions are mixed, which counts events twice.
    """
    if isinstance(event_type, int | np.integer) and not isinstance(event_type, bool):
        known = sum(EVENT_TYPES.values())
        if event_type <= 0 or int(event_type) & ~known:
            raise ValueError(
                f"event type mask {event_type} has unknown bits; expected a sum of "
                + ", ".join(f"{bit} ({name})" for name, bit in EVENT_TYPES.items())
                + "."
            )
        names = [name for name, bit in EVENT_TYPES.items() if int(event_type) & bit]
    else:
        names = [event_type] if isinstance(event_type, str) else list(event_type)
    types = []
    for name in names:
        key = str(name).strip().upper()
        if key not in EVENT_TYPES and key not in PARTITIONS:
            known = ", ".join([*PARTITIONS, *EVENT_TYPES])
            raise ValueError(f"unknown event type {name!r}; choose among {known}.")
        types.extend(PARTITIONS.get(key, (key,)))
    types = [name for name in EVENT_TYPES if name in types]
    used = [key for key, members in PARTITIONS.items() if set(members) & set(types)]
    if len(used) != 1:
        raise ValueError(
            f"event types {', '.join(types) or 'none'}: expected types of one partition "
            "(FB, PSF or EDISP); each event is in all three, so that mixing them counts it twice."
        )
    return used[0], types


def _folders(root, kind):
    """Folders that may hold files of a kind, the likeliest first."""
    tree = Path("data/glast/lat/bcf") / KINDS[kind]
    return [root, root / tree, root / "bcf" / KINDS[kind], root / KINDS[kind]]


def _available(root):
    """Responses of a folder with all three files, as ``name (partition)``."""
    found = {}
    for kind in KINDS:
        for folder in _folders(root, kind):
            if folder.is_dir():
                for path in folder.glob(f"{kind}_*.fits"):
                    if match := NAME.match(path.name):
                        found.setdefault((match[2], match[3]), set()).add(kind)
    return sorted(
        f"{name} ({partition})" for (name, partition), kinds in found.items() if len(kinds) == 3
    )


def find_irf_files(irfs, partition, caldb=None):
    """Paths of the effective area, PSF and energy dispersion of a response.

    Parameters
    ----------
    irfs : str
        Name, as P8R3_SOURCE_V3.
    partition : {"FB", "PSF", "EDISP"}
        How the files divide the events.
    caldb : str or `~pathlib.Path`, optional
        A folder with the files, or the root of a CALDB tree. Default is ``$CALDB``.

    Returns
    -------
    paths : dict of `~pathlib.Path`
        By ``aeff``, ``psf``, ``edisp``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or not all of the files; the message lists what is there.
    """
    given = os.environ.get("CALDB") if caldb is None else caldb
    if not given:
        raise FileNotFoundError(
            "no folder of LAT responses: set the environment variable CALDB or pass caldb= "
            "(a folder with aeff_, psf_ and edisp_ files, or the root of a CALDB tree). "
            "LATResponse.parametrised() needs no files but is for simulation only."
        )
    root = Path(given).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"the folder of LAT responses {root} does not exist.")
    paths = {}
    for kind in KINDS:
        name = f"{kind}_{irfs}_{partition}.fits"
        paths[kind] = next(
            (folder / name for folder in _folders(root, kind) if (folder / name).is_file()), None
        )
    missing = [f"{kind}_{irfs}_{partition}.fits" for kind, path in paths.items() if path is None]
    if missing:
        there = ", ".join(_available(root)) or "no complete response"
        raise FileNotFoundError(f"{root}: {', '.join(missing)} not found; there is {there}.")
    return paths


def _open_table(path, extension):
    """Data and columns of an extension; damage told as such."""
    try:
        with fits.open(path, memmap=False) as hdus:
            if extension in hdus:
                data = hdus[extension].data
                return {name.upper(): np.asarray(data[name], dtype=float) for name in data.names}
            names = ", ".join(hdu.name for hdu in hdus)
    except FITS_DAMAGE as error:
        raise _damaged(path, extension, error) from error
    raise ValueError(
        f"{path}: no extension {extension!r}; it has {names}. The file is of another kind or "
        "truncated."
    )


def _damaged(path, extension, error):
    return ValueError(
        f"{path}: extension {extension!r} can't be read ({type(error).__name__}: {error}); "
        "the file may be truncated, fetch it again."
    )


def read_grid(path, extension, columns):
    """Tables over energy and inclination of one extension.

    Parameters
    ----------
    path : `~pathlib.Path`
    extension : str
    columns : list of str

    Returns
    -------
    energy_edges : array, shape (n_energy + 1,)
        MeV.
    costheta_edges : array, shape (n_costheta + 1,)
        Ascending cosines of the inclination.
    tables : dict of array, shape (n_energy, n_costheta)

    Raises
    ------
    ValueError
        If the file is damaged, or a column is missing, has another shape or values not finite.
    """
    data = _open_table(path, extension)
    missing = [name for name in (*BOUNDS, *columns) if name not in data]
    if missing:
        raise ValueError(
            f"{path}, {extension}: no column {', '.join(missing)}; it has {', '.join(data)}."
        )
    low, high, mu_low, mu_high = (data[name][0] for name in BOUNDS)
    # single precision makes 0.2 a little more, which would shut out a bin that begins there
    energy, costheta = np.append(low, high[-1]), np.append(mu_low, mu_high[-1]).round(6)
    for name, edges in (("energies", energy), ("cosines", costheta)):
        if not np.all(np.isfinite(edges)) or np.any(np.diff(edges) <= 0):
            raise ValueError(f"{path}, {extension}: the {name} must ascend, got {edges}.")
    tables = {}
    for name in columns:
        table = data[name][0].T
        if table.shape != (len(low), len(mu_low)) or not np.all(np.isfinite(table)):
            raise ValueError(
                f"{path}, {extension}, {name}: expected finite values for {len(low)} energies and "
                f"{len(mu_low)} cosines, got shape {table.shape}."
            )
        tables[name] = table
    return energy, costheta, tables


def read_parameters(path, extension, column, shape):
    """Small table of parameters, array of the given shape.

    Raises
    ------
    ValueError
        If the file is damaged, the column is missing or has another shape.
    """
    data = _open_table(path, extension)
    if column not in data or data[column].shape != shape:
        found = {name: values.shape for name, values in data.items()}
        raise ValueError(
            f"{path}, {extension}: expected a column {column} of shape {shape}, got {found}."
        )
    return data[column]
