"""What the readers of text tables share: rows of mass, log10(x) and one column per channel."""

import gzip

import numpy as np

__all__ = ["GZIP_MAGIC", "read_columns", "to_grid"]

GZIP_MAGIC = b"\x1f\x8b"


def read_columns(path, skip_comment):
    """Header and numbers of a table of text in columns.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file, which may be compressed by gzip.
    skip_comment : bool
        Whether the header begins with ``#``.

    Returns
    -------
    names : list of str
        Column names.
    rows : ndarray, shape (n_row, n_column)
        Numbers.

    Raises
    ------
    ValueError
        If a row isn't made of as many numbers as there are columns.
    """
    with path.open("rb") as file:
        opener = gzip.open if file.read(2) == GZIP_MAGIC else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as file:
        header = file.readline()
        names = header.lstrip("#").split() if skip_comment else header.split()
        names = [name.strip('"') for name in names]
        rows = []
        for number, line in enumerate(file, start=2):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != len(names):
                raise ValueError(
                    f"{path.name}, line {number}: expected {len(names)} numbers as in the header, "
                    f"got {len(fields)}; is the file complete?"
                )
            rows.append(fields)
    try:
        return names, np.array(rows, dtype=float).reshape(len(rows), len(names))
    except ValueError as error:
        raise ValueError(f"{path.name}: a value is not a number: {error}.") from error


def to_grid(name, masses, log10x, columns):
    """Rows of a complete grid, mass by mass, as arrays.

    Parameters
    ----------
    name : str
        Name of the file, for messages.
    masses, log10x : ndarray, shape (n_row,)
        Mass and log10(x) of each row.
    columns : ndarray, shape (n_row, n_channel)
        Values.

    Returns
    -------
    masses : ndarray, shape (n_mass,)
        Masses.
    log10x : ndarray, shape (n_x,)
        Nodes.
    values : ndarray, shape (n_channel, n_mass, n_x)
        Values.

    Raises
    ------
    ValueError
        If the rows aren't those of a grid with ascending masses and x.
    """
    if len(masses) == 0:
        raise ValueError(f"{name}: the table is empty.")
    nodes = np.unique(masses)
    points = log10x[masses == masses[0]]
    expected = len(nodes) * len(points)
    if len(masses) != expected:
        raise ValueError(
            f"{name}: expected {len(nodes)} masses x {len(points)} values of x = {expected} rows, "
            f"got {len(masses)}; is the file complete?"
        )
    for what, column, grid in (
        ("mass", masses, np.repeat(nodes, len(points))),
        ("log10(x)", log10x, np.tile(points, len(nodes))),
    ):
        if not np.array_equal(column, grid):
            row = int(np.argmax(column != grid))
            raise ValueError(
                f"{name}, data row {row + 1}: rows must be sorted by mass, then by x, with the "
                f"same x for every mass; expected {what} {grid[row]:g}, got {column[row]:g}."
            )
    values = columns.T.reshape(columns.shape[1], len(nodes), len(points))
    return nodes, points, values
