"""Isotropic emission from the LAT's text files, past PSF and energy dispersion."""

import logging
import operator
import re
from pathlib import Path

import astropy.units as u
import numpy as np
from gammapy.modeling.models import (
    CompoundSpectralModel,
    ConstantSpatialModel,
    SkyModel,
    TemplateSpectralModel,
)
from gammapy.utils.scripts import make_path

from ._roi_diffuse import diffuse_norm
from ._roi_event_types import (
    event_types_of,
    parse_event_types,
    types_in_metadata,
    types_in_name,
)

__all__ = ["isotropic_models", "match_files", "misalignment", "read_isotropic"]

log = logging.getLogger(__name__)

# The templates are fits to reconstructed energies and directions: they hold the instrument.
APPLY_IRF = {"exposure": True, "psf": False, "edisp": False}
MISALIGNED = 0.005


def read_isotropic(path):
    """Read an isotropic template.

    Parameters
    ----------
    path : path
        Text of columns energy [MeV], dN/dE/dOmega [MeV-1 cm-2 s-1 sr-1] and, not used, its error.

    Returns
    -------
    energy, flux : array, shape (n_energy,)

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a row is not such.
    """
    path = make_path(path)
    if not path.exists():
        raise FileNotFoundError(f"isotropic template {path} does not exist.")
    energy, flux = [], []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            values = [float(word) for word in words[:2]]
        except ValueError:
            values = []
        if len(values) < 2 or not np.isfinite(values).all() or values[0] <= 0 or values[1] < 0:
            raise ValueError(
                f"{path}, line {number}: expected energy [MeV] and flux [MeV-1 cm-2 s-1 sr-1], "
                f"positive numbers, got {line.strip()[:60]!r}."
            )
        if energy and values[0] <= energy[-1]:
            raise ValueError(
                f"{path}, line {number}: energies must increase, got {values[0]:g} MeV after "
                f"{energy[-1]:g} MeV."
            )
        energy.append(values[0])
        flux.append(values[1])
    if len(energy) < 2:
        raise ValueError(f"{path}: expected a table of at least two energies, got {len(energy)}.")
    return np.array(energy), np.array(flux)


def isotropic_models(isotropic, datasets, energy_range=None, share_norm=True, name="isodiff"):
    """Models of the isotropic emission, one for each file.

    Parameters
    ----------
    isotropic : path, `~gammapy.modeling.models.SkyModel` or dict
        One for all datasets, or ``{dataset name or event type: path}``. A model is taken as it
        is.
    datasets : list of `~gammapy.datasets.Dataset`
    energy_range : tuple of float, optional
        Least and greatest true energy in MeV. Beyond the file's energies the outermost two
        fluxes are continued as a power law.
    share_norm : bool
        Give all the same norm. Default is True.
    name : str

    Returns
    -------
    models : list of `~gammapy.modeling.models.SkyModel`
    notes : list of list of str

    Raises
    ------
    ValueError
        If one file is for several event types, whose residual background of cosmic rays differs,
        or as `match_files`.
    """
    if isinstance(isotropic, SkyModel):
        return [isotropic], [[]]
    if not isinstance(isotropic, dict):
        _check_one_type(isotropic, datasets)
        isotropic = {None: isotropic}
    files = match_files(isotropic, datasets)
    models, notes, first = [], [], None
    for key, names in files.items():
        template, note = _template(isotropic[key], energy_range)
        norm = diffuse_norm()
        if share_norm and first is not None:
            norm.norm, norm.tilt = first.norm, first.tilt
        first = first or norm
        model = SkyModel(
            CompoundSpectralModel(template, norm, operator.mul),
            ConstantSpatialModel(),
            name=name if key is None else f"{name}-{key}",
            datasets_names=names,
            apply_irf=dict(APPLY_IRF),
        )
        model.spatial_model.value.frozen = True
        for dataset in datasets:
            if names is None or dataset.name in names:
                note = [*note, *_alignment_note(dataset, model)]
        models.append(model)
        notes.append(note)
    return models, notes


def match_files(files, datasets):
    """Which datasets each file is for.

    Parameters
    ----------
    files : dict
        ``{dataset name or event type: path}``; the key None is for all. Event types, such as
        "PSF3", "FB" or "PSF2-PSF3", are those in the column EVENT_TYPE of the dataset's
        ``meta_table``, or else in its name: "PSF3" in "draco-PSF3" and "draco_psf3". Case doesn't
        matter.
    datasets : list of `~gammapy.datasets.Dataset`

    Returns
    -------
    names : dict
        ``{key: list of dataset names, or None for all}``.

    Raises
    ------
    ValueError
        If a dataset has no file or several, or a file no dataset.
    """
    if list(files) == [None]:
        return {None: None}
    names = {key: [] for key in files}
    for dataset in datasets:
        fitting = _fitting(files, dataset)
        if len(fitting) != 1:
            types = event_types_of(dataset)
            known = f"event type {'-'.join(types)}" if types else "unknown event type"
            raise ValueError(
                f"dataset {dataset.name!r}: {len(fitting)} isotropic templates fit its name or "
                f"{known} ({', '.join(map(str, fitting)) or 'none'}) of "
                f"{', '.join(map(str, files))}; give exactly one by dataset name, or by event "
                "type."
            )
        names[fitting[0]].append(dataset.name)
    idle = [str(key) for key, found in names.items() if not found]
    if idle:
        raise ValueError(
            f"isotropic templates {', '.join(idle)} fit no dataset; there are "
            f"{', '.join(d.name for d in datasets) or 'none: a geometry has no event types'}."
        )
    return names


def _fitting(files, dataset):
    """Keys that fit a dataset: its name, else its event types, else a word of its name."""
    types = event_types_of(dataset)
    words = re.split(r"[^a-z0-9]+", dataset.name.lower())
    return (
        [key for key in files if key == dataset.name]
        or [key for key in files if str(key).lower() == dataset.name.lower()]
        or [key for key in files if types and parse_event_types(key) == types]
        or [key for key in files if str(key).lower() in words and not parse_event_types(key)]
    )


def _check_one_type(path, datasets):
    """Refuse one template for several event types, by the metadata or by the names."""
    for get in (event_types_of, types_in_metadata, types_in_name):
        types = {}
        for dataset in datasets:
            known = get(dataset)
            if known:
                types.setdefault("-".join(known), []).append(dataset.name)
        if len(types) > 1:
            found = ", ".join(f"{kind} ({', '.join(names)})" for kind, names in types.items())
            raise ValueError(
                f"isotropic template {path}: one file for datasets of different event types, "
                f"{found}, whose backgrounds of cosmic rays differ; give {{event type: path}} or "
                "{dataset name: path} with a file for each."
            )


def _template(path, energy_range):
    energy, flux = read_isotropic(path)
    notes = []
    if energy_range is not None:
        low, high = energy_range
        for side, beyond in (("below", low < energy[0]), ("above", high > energy[-1])):
            if beyond:
                edge, wanted = (energy[0], low) if side == "below" else (energy[-1], high)
                notes.append(
                    f"energies {side} {edge:.5g} MeV, to {wanted:.5g} MeV, extrapolated as a "
                    "power law"
                )
    if notes:
        log.info("isotropic template %s: %s", Path(path).name, "; ".join(notes))
    template = TemplateSpectralModel(
        energy * u.MeV,
        flux * u.Unit("MeV-1 cm-2 s-1"),
        interp_kwargs={"fill_value": None, "extrapolate": True},
        meta={"filename": str(path)},
    )
    return template, notes


def misalignment(dataset, spectral_model):
    """Largest error of the counts per bin of a spectrum without energy dispersion.

    True bins are handed to the bins of reconstructed energy by their overlap, as if flat within:
    exact where the edges of the counts are among those of true energy, else not.

    Parameters
    ----------
    dataset : `~gammapy.datasets.MapDataset`
    spectral_model : `~gammapy.modeling.models.SpectralModel`

    Returns
    -------
    error : float
        Relative.
    """
    reco = dataset.counts.geom.axes["energy"].edges.to_value("MeV")
    true = dataset.exposure.geom.axes["energy_true"].edges.to_value("MeV")
    flux = spectral_model.integral(true[:-1] * u.MeV, true[1:] * u.MeV).value
    overlap = np.minimum(reco[1:], true[1:, None]) - np.maximum(reco[:-1], true[:-1, None])
    share = np.clip(overlap, 0, None) / np.diff(true)[:, None]
    exact = spectral_model.integral(reco[:-1] * u.MeV, reco[1:] * u.MeV).value
    return float(np.max(np.abs(flux @ share / exact - 1)))


def _alignment_note(dataset, model):
    if getattr(dataset, "exposure", None) is None or getattr(dataset, "counts", None) is None:
        return []
    error = misalignment(dataset, model.spectral_model)
    if error < MISALIGNED:
        return []
    log.warning(
        "dataset %s: its energy edges are not among those of true energy, so that %s is off by "
        "up to %.1f %% in a bin; bin true energy in parts of the bins of the counts.",
        dataset.name,
        model.name,
        100 * error,
    )
    return [f"up to {100 * error:.1f} % off in a bin of {dataset.name}: energy bins not aligned"]
