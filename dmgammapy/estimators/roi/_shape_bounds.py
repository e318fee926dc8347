"""How far parameters of the shape of a spectrum may go in a fit of one source."""

from contextlib import contextmanager

import astropy.units as u
import numpy as np

__all__ = ["at_bound", "bounded", "shape_bounds"]

INDEX = (0.0, 5.0)
# of known names; values without unit are of parameters without unit
BOUNDS = {
    "index": INDEX,
    "index1": INDEX,
    "index2": INDEX,
    "index_1": INDEX,
    "alpha": INDEX,
    "beta": (0.0, 2.0),
    "expfactor": (0.0, 5.0),
    "lambda_": (0 / u.MeV, 1 / (30 * u.MeV)),
    "ecut": (30 * u.MeV, 100 * u.TeV),
}
NEAR = 1e-6  # of the range


def shape_bounds(parameter):
    """Lowest and highest value of a parameter: its own bounds, otherwise what is physical.

    Slopes stay between 0 and 5, the curvature of a log-parabola between 0 and 2, cutoffs between
    30 MeV and 100 TeV. Where the present value lies beyond, it is the bound.

    Parameters
    ----------
    parameter : `~gammapy.modeling.Parameter`

    Returns
    -------
    low, high : float
        In the unit of the parameter, infinite if nothing is known.

    Examples
    --------
    >>> from gammapy.modeling import Parameter
    >>> from dmgammapy.estimators.roi._shape_bounds import shape_bounds
    >>> shape_bounds(Parameter("index", 2.2))
    (0.0, 5.0)
    >>> shape_bounds(Parameter("index", 2.2, min=1))
    (1.0, 5.0)
    """
    low, high = -np.inf, np.inf
    known = BOUNDS.get(parameter.name)
    if known is not None and u.Quantity(known[0]).unit.is_equivalent(parameter.unit):
        low, high = (float(u.Quantity(value).to_value(parameter.unit)) for value in known)
        low, high = min(low, parameter.value), max(high, parameter.value)
    low = parameter.min if np.isfinite(parameter.min) else low
    high = parameter.max if np.isfinite(parameter.max) else high
    return float(low), float(high)


@contextmanager
def bounded(parameters):
    """Give parameters these bounds; they have their own again afterwards."""
    before = [(p.min, p.max) for p in parameters]
    try:
        for parameter in parameters:
            parameter.min, parameter.max = shape_bounds(parameter)
        yield
    finally:
        for parameter, (low, high) in zip(parameters, before, strict=True):
            parameter.min, parameter.max = low, high


def at_bound(parameter):
    """True if a parameter has reached one of its present bounds."""
    low, high = parameter.min, parameter.max
    if not np.isfinite([low, high]).any():
        return False
    scale = abs(high - low) if np.isfinite(high - low) else max(abs(parameter.value), 1e-300)
    return min(abs(parameter.value - low), abs(parameter.value - high)) <= NEAR * scale
