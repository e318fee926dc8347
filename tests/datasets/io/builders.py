"""Files as other programs write them, from plain columns, to be damaged one place at a time."""

import numpy as np
from astropy.io import fits

from ..sed_helpers import EDGES, poisson_best, poisson_scan, poisson_stat, references


def fermipy_columns():
    """Columns of a fermipy SED as (values, unit) by name."""
    norm, stat = poisson_scan(20)
    reference = references()
    return {
        "e_min": (EDGES[:-1], "MeV"),
        "e_ref": (np.sqrt(EDGES[:-1] * EDGES[1:]), "MeV"),
        "e_max": (EDGES[1:], "MeV"),
        "ref_dnde": (reference["ref_dnde"].value, "ph / (MeV cm2 s)"),
        "ref_flux": (reference["ref_flux"].value, "ph / (cm2 s)"),
        "ref_eflux": (reference["ref_eflux"].value, "MeV / (cm2 s)"),
        "ref_npred": (np.array([4.0, 2.0, 1.0, 0.5]), None),
        "norm": (poisson_best(), None),
        "loglike": (-0.5 * poisson_stat(poisson_best()), None),
        "norm_scan": (norm, None),
        "dloglike_scan": (-0.5 * stat, None),
    }


def table_hdu(columns, name=None, header=None):
    """Binary table of columns given as (values, unit) by name."""
    made = []
    for key, (values, unit) in columns.items():
        values = np.asarray(values)
        size = int(np.prod(values.shape[1:], dtype=int))
        if values.dtype.kind in "US":
            made.append(fits.Column(key, "32A", array=values))
            continue
        code = {"f": "D", "i": "K", "b": "L"}[values.dtype.kind]
        if values.dtype == np.float32:
            code = "E"
        dim = None
        if values.ndim > 1:
            code = f"{size}{code}"
            dim = "(" + ",".join(map(str, values.shape[:0:-1])) + ")"
        made.append(fits.Column(key, code, unit, dim=dim, array=values))
    hdu = fits.BinTableHDU.from_columns(made, name=name)
    for key, value in (header or {}).items():
        hdu.header[key] = value
    return hdu


def write_fits(path, *hdus):
    """Write HDUs after an empty primary one."""
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def replaced(columns, name, change):
    """Columns with the values of one changed by a function."""
    values, unit = columns[name]
    return columns | {name: (change(np.array(values)), unit)}


def every_row(columns, change):
    """Columns with all values indexed or joined the same way."""
    return {name: (change(np.array(values)), unit) for name, (values, unit) in columns.items()}


def put(index, value):
    """Change that sets one element."""

    def change(values):
        values[index] = value
        return values

    return change
