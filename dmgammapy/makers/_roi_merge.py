"""Which of several sources stays: sources in two catalogs, replaced, excluded or faint ones."""

import logging

import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import PointSpatialModel

from dmgammapy.datasets._counts_models import is_dark_matter

from ._roi_table import plain_name

__all__ = ["drop_excluded", "drop_faint", "drop_unseen", "merge_catalogs", "replace_by_extra"]

log = logging.getLogger(__name__)

# Two entries that share an association are the same source if no farther apart than this [deg],
# or than the size of the larger.
ASSOCIATED = 0.5
# Sources outside the exposure that may shine into it, TS and distance from its edge [deg]: the
# LAT's PSF has tails of degrees, of which those of bright sources are seen.
BRIGHT = 1000
SHINES = 5.0


def merge_catalogs(groups, radius):
    """Merge sources of later catalogs with those of earlier ones.

    They are the same where they are within the radius, or share a name (an association, say) and
    are within 0.5 deg or their size. The earlier stays and takes over the names.

    Parameters
    ----------
    groups : list of list of `~dmgammapy.makers._roi_catalogs.ROISource`
        By catalog; changed in place.
    radius : float
        In deg.
    """
    first = []
    for group in groups:
        if first:
            others = SkyCoord([s.position for s in first])
            names = [_names(s) for s in first]
            for source in group:
                _merge(source, first, others, names, radius)
        first += [source for source in group if source.status == "kept"]


def _merge(source, first, others, names, radius):
    separation = source.position.separation(others).deg
    mine = _names(source)
    for i in np.argsort(separation):
        reach = max(ASSOCIATED, source.radius, first[i].radius)
        if separation[i] > max(reach, radius):
            # not the end: farther ones may be larger, and reach as far
            continue
        shared = bool(mine & names[i]) and separation[i] <= reach
        if separation[i] <= radius or shared:
            how = "the same name" if separation[i] > radius else "the same position"
            source.drop(
                f"{how} as {first[i].name} ({first[i].catalog}), {separation[i]:.3f} deg away",
                "merged",
            )
            new = [n for n in (source.name, *source.aliases) if n not in first[i].aliases]
            first[i].aliases += [n for n in new if n != first[i].name]
            names[i] |= mine
            return


def _names(source):
    return {plain_name(name) for name in (source.name, *source.aliases)}


def drop_excluded(sources, exclude, known=()):
    """Drop sources by name.

    Parameters
    ----------
    sources : list of `~dmgammapy.makers._roi_catalogs.ROISource`
        Changed in place.
    exclude : list of str
        Names or other names.
    known : set of str
        Plain names of the sources of the catalogs, near or not.

    Raises
    ------
    ValueError
        If no catalog has a name, so that a misspelt name doesn't leave the source in the model.
    """
    for name in exclude:
        wanted = plain_name(name)
        exact = [s for s in sources if plain_name(s.name) == wanted]
        found = exact or [s for s in sources if wanted in _names(s)]
        if not found and wanted not in known:
            raise ValueError(
                f"exclude: no source {name!r} in the catalogs, of which {len(sources)} are within "
                "the radius."
            )
        for source in found:
            if source.status == "kept":
                source.drop(f"excluded as {name}")


def replace_by_extra(sources, extra):
    """Drop catalog sources that a source of the user stands for.

    These have exactly its name, or it has the name of their association and is within 0.5 deg,
    which is warned of. Dark matter stands for nothing: the signal looked for in M31 comes with
    what M31 shines without it.

    Parameters
    ----------
    sources, extra : list of `~dmgammapy.makers._roi_catalogs.ROISource`
        Changed in place.
    """
    for own in extra:
        for source in sources:
            if source.status == "kept" and plain_name(own.name) in _names(source):
                _replace(source, own)


def _replace(source, own):
    exact = plain_name(own.name) == plain_name(source.name)
    if is_dark_matter(own.model):
        if not exact:  # else names that are not unique are refused
            source.reason.append(
                f"the dark matter model {own.name} has a name of it: both stay, use exclude if "
                "its emission should not be in the model"
            )
        return
    separation = np.nan if own.position is None else own.position.separation(source.position).deg
    if not exact and not separation <= ASSOCIATED:
        away = "has no position" if np.isnan(separation) else f"is {separation:.2f} deg away"
        source.reason.append(
            f"your own source {own.name}, one of its other names, {away}: both stay, use exclude "
            "if it is the same"
        )
        return
    source.drop(f"your own source {own.name} stands for it", "replaced")
    own.aliases += [n for n in (source.name, *source.aliases) if n != own.name]
    if not exact:
        log.warning(
            "%s is replaced by your own source %s, which has one of its other names and is %.3f "
            "deg away; name it otherwise to have both.",
            source.name, own.name, separation,
        )  # fmt: skip


def drop_faint(sources, quantity, least):
    """Drop sources below a threshold; where the quantity is not known they stay.

    Parameters
    ----------
    sources : list of `~dmgammapy.makers._roi_catalogs.ROISource`
    quantity : {"ts", "npred"}
    least : float
    """
    for source in sources:
        value = getattr(source, quantity)
        if source.status != "kept":
            continue
        if not np.isfinite(value):
            source.reason.append(f"its {quantity} is not known: kept")
        elif value < least:
            source.drop(f"{quantity} {value:.4g} below {least:g}")


def drop_unseen(sources, datasets):
    """Drop point sources that lie outside the exposure of all datasets, and predict nothing.

    Bright ones near its edge are warned of, since their true counts reach into the datasets.

    Parameters
    ----------
    sources : list of `~dmgammapy.makers._roi_catalogs.ROISource`
    datasets : list of `~gammapy.datasets.Dataset`
    """
    exposures = [getattr(dataset, "exposure", None) for dataset in datasets]
    if not exposures or any(e is None or e.geom.is_region or e.geom.is_hpx for e in exposures):
        return
    geoms = [exposure.geom.to_image() for exposure in exposures]
    bright = []
    for source in sources:
        if source.status != "kept" or not isinstance(source.model.spatial_model, PointSpatialModel):
            continue
        if not any(geom.contains(source.model.position)[0] for geom in geoms):
            source.drop("outside the exposure of the datasets")
            beyond = _beyond(source, geoms) if source.ts > BRIGHT else np.inf
            if beyond <= SHINES:
                bright.append(f"{source.name} (TS {source.ts:.3g}, {beyond:.1f} deg beyond)")
    if bright:
        log.warning(
            "bright sources are outside the exposure of the datasets and not in the model, but "
            "their PSF may reach in: %s; make the exposure wider to have them.",
            ", ".join(bright),
        )


def _beyond(source, geoms):
    """Distance of a source from the nearest pixel, deg."""
    return min(
        float(np.nanmin(geom.get_coord().skycoord.separation(source.position).deg))
        for geom in geoms
    )
