"""Table of the models of a fitted region."""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from gammapy.modeling.models import ConstantSpatialModel, TemplateSpatialModel

__all__ = ["make_source_table", "position_of", "separation_of"]

WIDE = 12.0  # deg, templates beyond are of the sky rather than of a source


def make_source_table(norms, region, ts, position):
    """Norms, errors, TS and predicted counts of all models.

    Parameters
    ----------
    norms : `RegionNorms`
        At the best fit.
    region : `Region`
    ts : {"free", "fixed"} or None
        Whether other free norms are fitted again for the test statistic; none at all if None.
    position : `~astropy.coordinates.SkyCoord`
        Where separations are from.

    Returns
    -------
    table : `~astropy.table.Table`
        One row for each model, see `ROIFit`.
    """
    free = norms.mask([p for p in norms.parameters if not p.frozen])
    free[0] = False
    rows = []
    for model in region.models:
        parameter = region.norm(model)
        row = {"name": model.name, "parameter": "", "norm": np.nan, "norm_err": np.nan}
        row |= {"unit": "", "ts": np.nan, "npred": region.count(model)}
        row |= {"separation": separation_of(model, position), "free": False}
        if parameter is not None:
            error = parameter.error if not parameter.frozen and parameter.error > 0 else np.nan
            row |= {"parameter": parameter.name, "norm": parameter.value, "norm_err": error}
            row |= {"unit": str(parameter.unit), "free": not parameter.frozen}
            row["ts"] = _ts(norms, parameter, free if ts == "free" else None) if ts else np.nan
        rows.append(row)
    table = Table(rows=rows)
    table["separation"].unit = "deg"
    return table


def _ts(norms, parameter, free):
    mask = norms.mask([parameter])
    return norms.ts(int(mask.argmax()), free) if mask.any() else 0.0


def position_of(model):
    """Position of a model, None for what is everywhere."""
    spatial = getattr(model, "spatial_model", None)
    where = getattr(model, "position", None)
    if not isinstance(where, SkyCoord) or isinstance(spatial, ConstantSpatialModel):
        return None
    if isinstance(spatial, TemplateSpatialModel):
        geom = spatial.map.geom
        if not geom.is_image or geom.width.max().to_value("deg") > WIDE:
            return None  # diffuse emission, cut out somewhere
    return where


def separation_of(model, position):
    """Separation of a model from a position [deg], NaN for what is everywhere."""
    where = position_of(model)
    return np.nan if where is None else float(where.separation(position).deg)
