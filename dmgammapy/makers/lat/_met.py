"""Mission elapsed time of Fermi."""

import warnings

import astropy.units as u
import numpy as np
from astropy.time import Time
from erfa import ErfaWarning
from gammapy.data import GTI

__all__ = [
    "MJDREFF",
    "MJDREFI",
    "gammapy_gti",
    "met_to_time",
    "reference_time",
    "to_met",
    "utc_text",
]

# 2001-01-01T00:00:00 UTC in TT: 32 leap seconds and 32.184 s
MJDREFI, MJDREFF = 51910, 64.184 / 86400


def reference_time(header=None):
    """Time that mission elapsed time counts from.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`, optional
        With MJDREFI and MJDREFF. Default is that of the mission.

    Returns
    -------
    time : `~astropy.time.Time`
        In TT.
    """
    header = {} if header is None else header
    return Time(
        float(header.get("MJDREFI", MJDREFI)),
        float(header.get("MJDREFF", MJDREFF)),
        format="mjd",
        scale="tt",
    )


def met_to_time(seconds, header=None):
    """Time of mission elapsed time.

    Parameters
    ----------
    seconds : float or array
        Mission elapsed time [s].
    header : `~astropy.io.fits.Header`, optional
        With MJDREFI and MJDREFF. Default is that of the mission.

    Returns
    -------
    time : `~astropy.time.Time`
        In TT.

    Examples
    --------
    >>> from dmgammapy.makers.lat._met import met_to_time
    >>> met_to_time(239557417.0).utc.isot
    '2008-08-04T15:43:36.000'
    """
    return reference_time(header) + u.Quantity(np.asarray(seconds, dtype=float), "s")


def to_met(time, header=None):
    """Mission elapsed time of a time.

    Parameters
    ----------
    time : `~astropy.time.Time`, `~astropy.units.Quantity` or float
        Quantities and numbers are mission elapsed time already [s].
    header : `~astropy.io.fits.Header`, optional
        With MJDREFI and MJDREFF.

    Returns
    -------
    seconds : float

    Examples
    --------
    >>> from astropy.time import Time
    >>> from dmgammapy.makers.lat._met import to_met
    >>> round(to_met(Time("2008-08-04T15:43:36")), 6)
    239557417.0
    """
    if isinstance(time, Time):
        return float((time.tt - reference_time(header)).to_value("s"))
    if isinstance(time, u.Quantity | str):
        return float(u.Quantity(time).to_value("s"))
    return float(time)


def utc_text(seconds, header=None):
    """Date of a header (UTC).

    Parameters
    ----------
    seconds : float
        Mission elapsed time [s].
    header : `~astropy.io.fits.Header`, optional
        With MJDREFI and MJDREFF.

    Returns
    -------
    text : str
    """
    with warnings.catch_warnings():
        # years after the last announced leap second
        warnings.simplefilter("ignore", ErfaWarning)
        return Time(met_to_time(seconds, header), precision=4).utc.isot


def gammapy_gti(gti):
    """Good times as Gammapy has them.

    Parameters
    ----------
    gti : array, shape (n_gti, 2)
        Mission elapsed time [s].

    Returns
    -------
    gti : `~gammapy.data.GTI`
    """
    return GTI.create(gti[:, 0] * u.s, gti[:, 1] * u.s, reference_time())
