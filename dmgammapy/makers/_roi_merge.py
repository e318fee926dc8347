"""Which of several sources stays: sources in two catalogs, replaced, excluded or faint ones."""

import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import PointSpatialModel

from ._roi_table import plain_name

__all__ = ["drop_excluded", "drop_faint", "drop_unseen", "merge_catalogs", "replace_by_extra"]

# Two entries that share an association are the same source if no farther apart than this [deg],
# or than the size of the larger.
ASSOCIATED = 0.5


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
            return
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


def drop_excluded(sources, exclude):
    """Drop sources by name.

    Parameters
    ----------
    sources : list of `~dmgammapy.makers._roi_catalogs.ROISource`
        Changed in place.
    exclude : list of str
        Names or other names.

    Raises
    ------
    ValueError
        If none has a name, so that a misspelt name doesn't leave the source in the model.
    """
    for name in exclude:
        wanted = plain_name(name)
        exact = [s for s in sources if plain_name(s.name) == wanted]
        found = exact or [s for s in sources if wanted in _names(s)]
        if not found:
            raise ValueError(
                f"exclude: no catalog source {name!r} among {len(sources)} within the radius."
            )
        for source in found:
            if source.status == "kept":
                source.drop(f"excluded as {name}")


def replace_by_extra(sources, extra):
    """Drop catalog sources of the name of a source that the user gives.

    Parameters
    ----------
    sources, extra : list of `~dmgammapy.makers._roi_catalogs.ROISource`
    """
    for own in extra:
        for source in sources:
            if source.status == "kept" and plain_name(own.name) in _names(source):
                source.drop(f"your own source {own.name} stands for it", "replaced")
                own.aliases += [n for n in (source.name, *source.aliases) if n != own.name]


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

    Parameters
    ----------
    sources : list of `~dmgammapy.makers._roi_catalogs.ROISource`
    datasets : list of `~gammapy.datasets.Dataset`
    """
    exposures = [getattr(dataset, "exposure", None) for dataset in datasets]
    if not exposures or any(e is None or e.geom.is_region or e.geom.is_hpx for e in exposures):
        return
    geoms = [exposure.geom.to_image() for exposure in exposures]
    for source in sources:
        if source.status != "kept" or not isinstance(source.model.spatial_model, PointSpatialModel):
            continue
        if not any(geom.contains(source.model.position)[0] for geom in geoms):
            source.drop("outside the exposure of the datasets")
