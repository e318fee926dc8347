"""HDMSpectra, ``HDMSpectra.hdf5``: heavy dark matter, 500 GeV to the Planck scale.

Groups ``high_gauge``, ``high_higgs``, ``high_leptons`` and ``high_quarks`` hold ``high_flavors``
(numbers of initial states), and for photons ``x_22``, ``Q_22`` (log10 of the scale in GeV, which
is the mass for annihilation) and ``FF_22`` (state, Q, x) = x dN/dx. ``delta_coeff`` holds the
number of photons at exactly x = 1, as ``<state>_2_22`` on its own ``Q``. A state is 1900, 2900 or
3900 (left, right, longitudinal) plus the particle's number, negative for antiparticles.
"""

import numpy as np

from .._kernels import LN10
from ..tables import TableSpectra

__all__ = ["REFERENCE", "read_hdmspectra"]

REFERENCE = "Bauer, Rodd & Webber 2021 (arXiv:2007.15001)"

_GROUPS = ("high_gauge", "high_higgs", "high_leptons", "high_quarks")
_PHOTON = 22
_LEFT, _RIGHT, _LONGITUDINAL = 1900, 2900, 3900
_QUARKS = {"d": 1, "u": 2, "s": 3, "c": 4, "b": 5, "t": 6}
_LEPTONS = {"e": 11, "mu": 13, "tau": 15}
_NEUTRINOS = {"nu_e": 12, "nu_mu": 14, "nu_tau": 16}
_BOSONS = {"Z": 23, "W": 24}


def _states():
    """Polarisations of the particle of each channel, over which the yield is averaged."""
    states = {"h": [25], "gamma": [_LEFT + 22, _RIGHT + 22], "g": [_LEFT + 21, _RIGHT + 21]}
    for name, number in (_QUARKS | _LEPTONS).items():
        states[name] = [_LEFT + number, _RIGHT + number]
    for name, number in _LEPTONS.items():
        states[f"{name}L"], states[f"{name}R"] = [_LEFT + number], [_RIGHT + number]
    for name, number in _NEUTRINOS.items():
        states[name] = [_LEFT + number]
    for name, number in _BOSONS.items():
        transverse, longitudinal = [_LEFT + number, _RIGHT + number], [_LONGITUDINAL + number]
        states[name] = transverse + longitudinal
        states[f"{name}T"], states[f"{name}L"] = transverse, longitudinal
    return states


def read_hdmspectra(path, source=None):
    """Read the table of HDMSpectra.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    source : str, optional
        How the spectra call themselves.

    Returns
    -------
    spectra : `~dmgammapy.spectra.TableSpectra`
        Spectra, linear in log(m), with the lines of photons and Z. They are zero below the x of
        the table, 1e-6.

    Raises
    ------
    ValueError
        If a data set is missing or damaged.
    ImportError
        If h5py isn't installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f"Reading {path.name} needs h5py: pip install 'dmgammapy[interop]'."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            functions, deltas = _read_functions(file), _read_deltas(file)
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path.name}: not a complete table of HDMSpectra ({error}); get HDMSpectra.hdf5 from "
            "the authors."
        ) from error
    _check(path.name, functions, deltas)
    channels = {
        name: states
        for name, states in _states().items()
        if all(state in functions for state in states)
    }
    if not channels:
        raise ValueError(f"{path.name}: no known initial state, got {sorted(functions)}.")
    grids = [functions[state] for states in channels.values() for state in states]
    # any of the functions is linear between the nodes of all of them
    scales = [scale for scale, _, _ in grids] + [scale for scale, _ in deltas.values()]
    log10m = _union(scales)
    covered = max(scale[0] for scale in scales), min(scale[-1] for scale in scales)
    log10m = log10m[(log10m >= covered[0] - 1e-9) & (log10m <= covered[1] + 1e-9)]
    log10x = _union([nodes for _, nodes, _ in grids])
    shape = (len(channels), len(log10m), len(log10x))
    values, line = np.zeros(shape), np.zeros(shape[:2])
    for index, states in enumerate(channels.values()):
        for state in states:
            partners = [state, -state] if -state in functions else [state, state]
            for partner in partners:
                values[index] += _on_grid(*functions[partner], log10m, log10x) / len(states)
                if partner in deltas:
                    line[index] += np.interp(log10m, *deltas[partner]) / len(states)
    return TableSpectra(
        path.name,
        list(channels),
        10**log10m,
        log10x,
        values * LN10,
        line=line,
        source=source,
        reference=REFERENCE,
    )


def _read_functions(file):
    """log10(Q), log10(x) and x dN/dx (Q, x) of each state."""
    functions = {}
    for name in _GROUPS:
        group = file[name]
        nodes = np.array(group[f"x_{_PHOTON}"], dtype=float)
        scale = np.array(group[f"Q_{_PHOTON}"], dtype=float)
        values = np.array(group[f"FF_{_PHOTON}"], dtype=float)
        states = np.array(group["high_flavors"], dtype=int)
        if values.shape != (len(states), len(scale), len(nodes)):
            raise KeyError(f"{name}/FF_{_PHOTON} of shape {values.shape}")
        for state, value in zip(states, values, strict=True):
            # a spline of the authors left a few values slightly below zero
            functions[int(state)] = (scale, np.log10(nodes), np.where(value < 0, 0.0, value))
    return functions


def _read_deltas(file):
    group = file["delta_coeff"]
    scale = np.array(group["Q"], dtype=float)
    ending = f"_2_{_PHOTON}"
    return {
        int(name.removesuffix(ending)): (scale, np.array(group[name], dtype=float))
        for name in group
        if name.endswith(ending)
    }


def _check(name, functions, deltas):
    for state, arrays in (functions | deltas).items():
        for array in arrays:
            if not np.all(np.isfinite(array)):
                raise ValueError(f"{name}: initial state {state} has values that aren't finite.")
        for nodes in arrays[:-1]:
            if not np.all(np.diff(nodes) > 0):
                raise ValueError(f"{name}: initial state {state}: Q and x must ascend.")
        if arrays[-1].shape[0] != len(arrays[0]):
            raise ValueError(f"{name}: initial state {state} has values for other Q.")


def _union(grids):
    return np.unique(np.round(np.concatenate(grids), 9)) + 0.0


def _on_grid(scale, nodes, values, log10m, log10x):
    """Values linear in log10(m) and log10(x) at the nodes of a finer grid."""
    in_x = np.stack([np.interp(log10x, nodes, row, left=0, right=0) for row in values])
    return np.stack([np.interp(log10m, scale, column) for column in in_x.T], axis=-1)
