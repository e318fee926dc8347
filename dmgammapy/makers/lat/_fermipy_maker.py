"""Arguments of `LATDatasetMaker` from the settings of a configuration of fermipy."""

import numpy as np
from astropy import units as u
from gammapy.maps import HpxGeom, MapAxis, WcsGeom

from ._caldb import EVENT_CLASSES
from ._geometry import read_position, true_energy_axis
from .livetime import COSTHETA_STEP

__all__ = ["event_kind", "from_fermipy", "unused"]

PASS, VERSION = "P8R3", "V3"  # what fermipy's CALDB means for the data that are public today
SOURCE = 128
FRONT_BACK = 3
WHOLE_SKY = 180.0  # deg
NEAR_SQUARE_DEGREE = 58.6  # degrees of a HEALPix pixel times its nside

# settings that photons are reduced without, and why
UNUSED = {
    "exposure": "the exposure is computed; read_lat_products takes an existing one",
    "livetime_costheta_step": f"livetime is computed in bins of {COSTHETA_STEP:g}",
    "edisp_margin": "true energies have a margin of 0.3 decades",
}
# values that are those of the reduction here
DONE = {"livetime_costheta_step": COSTHETA_STEP, "edisp_margin": 0}


def unused(*components):
    """Settings that the maker does not use, as `FermipyTranslation.untranslated`.

    Parameters
    ----------
    *components : dict
        Settings of each, see `FermipyTranslation`.
    """
    notes = [
        (name, settings[name], why)
        for settings in components
        for name, why in UNUSED.items()
        if settings.get(name) not in (None, DONE.get(name))
    ]
    return [note for k, note in enumerate(notes) if note not in notes[:k]]


def from_fermipy(settings):
    """Arguments of `LATDatasetMaker`.

    Parameters
    ----------
    settings : dict
        Of a component, see `FermipyTranslation`.

    Returns
    -------
    arguments : dict

    Raises
    ------
    ValueError
        If there is no position, or no response of the event class.
    """
    if settings["position"] is None:
        raise ValueError(
            "the configuration of fermipy says no position: add selection: {ra: ..., dec: ...}."
        )
    axis = MapAxis.from_energy_bounds(
        settings["energy_min"] * u.MeV, settings["energy_max"] * u.MeV,
        nbin=settings["n_energy_bins"],
    )  # fmt: skip
    out = {
        "geom": _geom(settings, axis),
        "event_types": [event_kind(settings["event_type"])],
        "event_class": settings["event_class"],
        "irfs": settings["irfs"] or _irfs(settings["event_class"]),
        "edisp": settings["edisp"],
        "filter": settings["filter"],
        "time_min": settings["time_min"],
        "time_max": settings["time_max"],
        "livetime_nside": _nside(settings["livetime_binsz"]),
    }
    for name in ("zenith_max", "roi_zenith_max"):
        if settings[name] is not None:
            out[name] = settings[name] * u.deg
    if settings["phase"] is not None:
        out["phase"] = [tuple(settings["phase"])]
    if not settings["edisp"]:
        out["energy_axis_true"] = true_energy_axis(axis, margin=0)
    return out


def _geom(settings, axis):
    position = read_position(settings["position"])
    if settings["hpx_order"] is not None:
        width = settings["width"]
        # as fermipy: a disk of this diameter, from 180 deg on the whole sky
        disk = {} if width is None or width >= WHOLE_SKY else {"width": float(width)}
        return HpxGeom.create(
            nside=2 ** int(settings["hpx_order"]), nest=settings["hpx_ordering"] == "NESTED",
            frame=settings["frame"], skydir=position, axes=[axis], **disk,
        )  # fmt: skip
    return WcsGeom.create(
        npix=tuple(settings["npix"]), binsz=settings["binsz"], skydir=position,
        frame=settings["frame"], proj=settings["proj"], axes=[axis],
    )  # fmt: skip


def event_kind(mask):
    """Event types of `LATDatasetMaker` for those of a component."""
    return "FB" if mask in (None, FRONT_BACK) else int(mask)


def _irfs(event_class):
    bit = SOURCE if event_class is None else event_class
    names = [name for name, value in EVENT_CLASSES.items() if value == bit]
    if not names:
        raise ValueError(
            f"no response functions are known for evclass {event_class}: name them in the "
            "configuration (gtlike: {irfs: ...})."
        )
    return f"{PASS}_{names[0]}_{VERSION}"


def _nside(binsz):
    """HEALPix order of a livetime cube with pixels of this size, deg."""
    return int(2 ** np.round(np.log2(NEAR_SQUARE_DEGREE / binsz)))
