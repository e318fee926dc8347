"""Any table of spectra: an astropy Table or a file that astropy reads (ECSV, FITS, VOTable, ...).

Columns: ``mass`` with a unit of energy; one of ``x`` (= E/m), ``log10x`` or ``energy`` with a unit;
and one per channel, by any name that `canonical_channel` knows. The metadata say what the values
are: ``quantity`` is "dN/dE", "dN/dx", "dN/dlnx" or "dN/dlog10x", per annihilation. Optional
metadata: ``name``, ``reference`` and ``mass_interpolation`` ("log" or "linear").
"""

import astropy.units as u
import numpy as np
from astropy.table import QTable

from .._kernels import LN10
from ..channels import canonical_channel
from ..tables import TableSpectra

__all__ = ["read_table"]

_GRIDS = ("x", "log10x", "energy")
_QUANTITIES = ("dN/dE", "dN/dx", "dN/dlnx", "dN/dlog10x")
_MOST_VALUES = 20_000_000
# rounding of x when the grid is given in energy
_SAME_X = 1e-9


def read_table(table, name=None, source=None):
    """Spectra of a table.

    Parameters
    ----------
    table : `~astropy.table.Table` or `~pathlib.Path`
        The table or its file.
    name : str, optional
        Name for messages and of the spectra. Default is that of the metadata or of the file.
    source : str, optional
        How the spectra call themselves.

    Returns
    -------
    spectra : `~dmgammapy.spectra.TableSpectra`
        Spectra.

    Raises
    ------
    ValueError
        If a column, unit or the quantity is missing or wrong, rows aren't sorted by mass and
        energy, or there is a photon above the endpoint.
    """
    if not hasattr(table, "colnames"):
        path = table
        name = name or path.name
        try:
            # astropy doesn't know ECSV by this ending
            packed = path.name.lower().endswith(".ecsv.gz")
            table = QTable.read(path, format="ascii.ecsv" if packed else None)
        except Exception as error:  # astropy's readers raise whatever their format does
            raise ValueError(f"{name}: not readable as a table: {error}") from error
    name = str(name or table.meta.get("name", "table"))
    quantity = _find_quantity(name, table.meta)
    grid = _find_columns(name, table)
    mass = _values(name, table, "mass", "GeV")
    log10x = _log10x(name, table, grid, mass)
    columns = {}
    for column in table.colnames:
        if column in ("mass", grid):
            continue
        try:
            channel = canonical_channel(column)
        except ValueError as error:
            raise ValueError(f"{name}: column {column!r} is not a channel. {error}") from None
        if channel in columns:
            raise ValueError(f"{name}: two columns are channel {channel!r}.")
        values = _values(name, table, column, "GeV-1" if quantity == "dN/dE" else "")
        columns[channel] = values * _to_log10x(quantity, mass, log10x)
    blocks = _blocks(name, mass, log10x)
    nodes, values, begin = _common_grid(name, log10x, np.stack(list(columns.values())), blocks)
    return TableSpectra(
        name,
        list(columns),
        [mass[block.start] for block in blocks],
        nodes,
        values,
        mass_interpolation=table.meta.get("mass_interpolation", "log"),
        log10x_min=begin,
        source=source,
        reference=str(table.meta.get("reference", "")),
    )


def _find_quantity(name, meta):
    quantity = meta.get("quantity", meta.get("QUANTITY"))
    if quantity not in _QUANTITIES:
        raise ValueError(
            f"{name}: the metadata 'quantity' must say what the values are, one of "
            f"{', '.join(_QUANTITIES)}, got {quantity!r}; set table.meta['quantity']."
        )
    return quantity


def _find_columns(name, table):
    grids = [column for column in _GRIDS if column in table.colnames]
    if "mass" not in table.colnames or len(grids) != 1 or len(table.colnames) < 3:
        raise ValueError(
            f"{name}: expected the columns mass, one of {', '.join(_GRIDS)}, and channels, got "
            f"{', '.join(table.colnames) or 'none'}."
        )
    if len(table) == 0:
        raise ValueError(f"{name}: the table is empty.")
    return grids[0]


def _values(name, table, column, unit):
    """Finite values of a column in a unit."""
    data = table[column]
    if np.ma.is_masked(data):
        raise ValueError(f"{name}: column {column!r} has empty entries.")
    found = getattr(data, "unit", None)
    if unit and found is None:
        raise ValueError(f"{name}: column {column!r} has no unit, expected one like {unit}.")
    try:
        values = np.asarray(u.Quantity(data, found or "").to_value(unit), dtype=float)
    except (u.UnitConversionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: column {column!r} must be numbers in a unit like {unit or '1'}, got "
            f"{found or data.dtype}."
        ) from error
    if values.ndim != 1:
        raise ValueError(f"{name}: column {column!r} must have one number per row.")
    if not np.all(np.isfinite(values)):
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{name}, row {row + 1}: column {column!r} is {values[row]}.")
    return values


def _log10x(name, table, grid, mass):
    values = _values(name, table, grid, "GeV" if grid == "energy" else "")
    if grid == "log10x":
        return values
    for column, array in ((grid, values), ("mass", mass)):
        if not np.all(array > 0):
            row = int(np.argmin(array > 0))
            raise ValueError(f"{name}, row {row + 1}: {column} must be positive.")
    return np.log10(values / mass if grid == "energy" else values)


def _to_log10x(quantity, mass, log10x):
    """Factor from the table's quantity to dN/dlog10(x), per row."""
    if quantity == "dN/dlog10x":
        return np.ones(len(mass))
    if quantity == "dN/dlnx":
        return np.full(len(mass), LN10)
    return LN10 * 10**log10x * (mass if quantity == "dN/dE" else 1)


def _blocks(name, mass, log10x):
    """Slices of rows with one mass."""
    starts = np.flatnonzero(np.diff(mass, prepend=-np.inf) != 0)
    blocks = [slice(*ends) for ends in zip(starts, [*starts[1:], len(mass)], strict=True)]
    for block, following in zip(blocks, blocks[1:], strict=False):
        if mass[following.start] <= mass[block.start]:
            raise ValueError(
                f"{name}, row {following.start + 1}: rows must be sorted by mass, got "
                f"{mass[block.start]:g} GeV before {mass[following.start]:g} GeV."
            )
    for block in blocks:
        step = np.diff(log10x[block])
        if len(step) == 0 or not np.all(step > 0):
            row = block.start + (int(np.argmax(step <= 0)) + 1 if len(step) else 0)
            raise ValueError(
                f"{name}, row {row + 1}: the rows of mass {mass[block.start]:g} GeV must be at "
                "least two, sorted by energy and without repetition."
            )
    return blocks


def _common_grid(name, log10x, values, blocks):
    """Values (channel, mass, x) on the union of the nodes of all masses, and where each begins.

    Nodes end at x = 1. Below its first x a mass gets the shape of the nearest mass that has values
    there, so that masses in between lose no photons.
    """
    grids = [log10x[block] for block in blocks]
    nodes = grids[0]
    if not all(len(g) == len(nodes) and np.allclose(g, nodes, 0, _SAME_X) for g in grids):
        nodes = np.unique(np.concatenate(grids))
        nodes = nodes[np.diff(nodes, prepend=-np.inf) > _SAME_X]
    nodes = np.where(np.abs(nodes) < _SAME_X, 0.0, nodes)
    if nodes[-1] > 0:
        _check_endpoint(name, log10x, values)
        nodes = np.append(nodes[nodes < 0], 0.0)
    if len(values) * len(blocks) * len(nodes) > _MOST_VALUES:
        raise ValueError(
            f"{name}: the masses have different values of x, {len(nodes)} in all, which are too "
            "many; give the spectra at the same x = E/m for every mass."
        )
    result = np.zeros((len(values), len(blocks), len(nodes)))
    first = np.zeros(len(blocks), dtype=int)
    for index, (grid, block) in enumerate(zip(grids, blocks, strict=True)):
        grid = np.where(np.abs(grid) < _SAME_X, 0.0, grid)
        inside = (nodes >= grid[0] - _SAME_X) & (nodes <= grid[-1] + _SAME_X)
        if not inside.any():
            raise ValueError(f"{name}: a mass has no values below the endpoint E = m.")
        first[index] = np.argmax(inside)
        for channel, row in enumerate(values[:, block]):
            result[channel, index, inside] = np.interp(nodes[inside], grid, row)
    _extend_down(result, first)
    return nodes, result, nodes[first]


def _extend_down(values, first):
    """Fill the values (channel, mass, x) below ``first``, the first node of each mass."""
    for index in np.argsort(first, kind="stable"):
        begin = first[index]
        lower = np.flatnonzero(first < begin)
        if not len(lower):
            continue
        # those before are filled, so the nearest one has values everywhere
        nearest = lower[np.argmin(np.abs(lower - index))]
        shape, at = values[:, nearest, :begin], values[:, nearest, begin]
        scale = np.divide(values[:, index, begin], at, out=np.ones_like(at), where=at > 0)
        values[:, index, :begin] = scale[:, np.newaxis] * shape


def _check_endpoint(name, log10x, values):
    beyond = np.any(values > 0, axis=0) & (log10x > _SAME_X)
    if np.any(beyond):
        row = int(np.argmax(beyond))
        raise ValueError(
            f"{name}, row {row + 1}: there are photons above the endpoint E = m "
            f"(x = {10 ** log10x[row]:.6g}); is the mass that of one particle, in the right unit?"
        )
