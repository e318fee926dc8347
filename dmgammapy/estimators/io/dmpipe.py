"""Likelihoods of dmpipe, FITS (``dmlike_*``, ``results_*``): read and write.

One HDU per channel with one row: ``norm_scan`` (n_mass, n_points) in units of ``ref_sigmav``,
``dloglike_scan`` = ln L relative to its maximum, ``dloglike_offset`` the maximum, ``astro_value``
the J-factor (NaN in a stack), and, where a J-factor prior was asked for, ``prior_type, prior_mean``
(J), ``prior_sigma`` (dex), ``prior_applied``. The last HDU, ``MASSES``, holds the masses [GeV] of
the *first* channel: other channels may have lost some, which the file does not say.

In HDUs of decay (``*_decay``; ``ref_D``, ``ref_tau``) ``norm_scan`` is the flux in units of the
flux at ``ref_tau``: it is read as the rate ``norm_scan / ref_tau``.
"""

import re
from pathlib import Path

import numpy as np
from astropy.io import fits

from dmgammapy.modeling import JFactorPrior

from ..castro_maps import STRENGTH_UNITS
from ..metadata import CastroMetaData
from ._dmpipe_tables import (
    CHANNEL_CODES,
    DECAY_NOTE,
    PRIOR_COLUMNS,
    REFERENCES,
    channel_hdus,
    column_names,
    masses_by_channel,
    read_context,
)
from ._files import column
from ._tables import check_log10_jfactor, check_scan, check_strength, join_channels

__all__ = ["DESCRIPTION", "identify", "read", "write"]

DESCRIPTION = "dmpipe likelihoods, FITS (a HDU per channel: norm_scan, dloglike_scan; MASSES)"

# priors that are a Gaussian in log10 J, without Jacobian
GAUSSIAN_PRIORS = ("lgauss_like", "lgauss_log")
OTHER_PRIORS = ("lgauss", "gauss", "lognorm", "norm")
DLOGLIKE_TOLERANCE = 0.05
CONTEXT_LABELS = {"astro": "astro_value", "reference_astro": "the reference J"}
KEYWORDS = {"OBJECT": "target", "INSTRUME": "instrument", "JMETHOD": "jfactor_method"}


def identify(source):
    """Return None if the file has this format, otherwise the reason why not."""
    if source.kind != "fits":
        return "not a FITS file"
    names = [hdu.name for hdu in source.hdus]
    if "MASSES" not in names:
        return "no HDU MASSES"
    columns = column_names(source.hdus[1])
    if "norm_scan" in columns and "dloglike_scan" in columns:
        return None
    if "mles" in columns:
        return "holds limits, not likelihoods: use read_dmpipe_limits"
    return f"HDU 1 ({names[1]}) lacks norm_scan and dloglike_scan"


def read(
    source, channels=None, masses=None, process=None, target=None, instrument=None, prior=None,
    jfactor_method=None, cl=0.95,
):  # fmt: skip
    """Read likelihoods of a target (``dmlike_*.fits``) or a stack (``results_*.fits``).

    Parameters
    ----------
    source : `~dmgammapy.estimators.io._files.TableFile`
    channels : list of str, optional
        Channels to read, in this order. Default is all of them.
    masses : dict, optional
        Masses by channel, as `~astropy.units.Quantity` or in GeV, for channels that have lost
        some of those in ``MASSES``.
    process : {"annihilation", "decay"}, optional
        Needed where the file holds both.
    target : str, optional
        Name of the target. Default is the one in the header (our exports) or, for dmpipe's own
        file names ``<target>/dmlike_<profile>_<prior>[_<seed>].fits``, the folder's name.
    instrument : str, optional
        Default is the header's, else fermi-lat.
    prior : `~dmgammapy.modeling.JFactorPrior`, optional
        Instead of that of the file.
    jfactor_method : {"profile", "marginal", "fixed"}, optional
        J treatment of a stack, where neither header nor file name tell.
    cl : float
        Confidence level of the limits. Default is 0.95.

    Returns
    -------
    castro : `~dmgammapy.estimators.CastroMaps`
    """
    source.require_kind("fits", "dmpipe likelihoods are a FITS file")
    hdus, process = channel_hdus(source, process, channels, ("norm_scan", "dloglike_scan"))
    tables = {
        channel: _read_scan(hdu, process, f"{source.path}, HDU {hdu.name}")
        for channel, hdu in hdus.items()
    }
    context = _common_context(tables)
    own = masses_by_channel(source, {c: len(t["norm"]) for c, t in tables.items()}, masses)
    unit = 1 / context["reference"] if process == "decay" else context["reference"]
    parts = {}
    for channel, table in tables.items():
        where, mass = table["where"], own[channel]
        strength = table["norm"] * unit
        for i, row in enumerate(strength):
            check_strength(row, f"{where}, norm_scan", lambda j, i=i: f"mass {i}, point {j}")
        stat = -2.0 * table["dloglike"] + 0.0
        empty = check_scan(
            stat, f"{where}, dloglike_scan",
            lambda i, j, mass=mass: f"mass {i} ({mass[i]:g} GeV), point {j}",
        )  # fmt: skip
        parts[channel] = {
            "masses": mass, "strength": strength, "stat": stat, "empty": empty,
            "offset": -2.0 * table["offset"] + 0.0, "where": f"{source.name}, HDU {table['name']}",
        }  # fmt: skip
    header = next(iter(hdus.values())).header
    meta = CastroMetaData(
        target=target or _target(source, header, context), process=process, cl=cl,
        instrument=instrument or header.get("INSTRUME") or "fermi-lat", origin=str(source.path),
    )  # fmt: skip
    _describe_jfactor(meta, source, header, context, prior, jfactor_method)
    if process == "decay":
        meta.notes = [*meta.notes, DECAY_NOTE]
    return join_channels(parts, meta)


def _read_scan(hdu, process, where):
    """Arrays of one channel, checked."""
    norm = column(hdu, "norm_scan", where, ndim=3)[0]
    dloglike = column(hdu, "dloglike_scan", where, ndim=3)[0]
    offset = column(hdu, "dloglike_offset", where, ndim=2)[0]
    if norm.shape != dloglike.shape or offset.shape != norm.shape[:1]:
        raise ValueError(
            f"{where}: norm_scan {norm.shape}, dloglike_scan {dloglike.shape} and dloglike_offset "
            f"{offset.shape} do not fit each other."
        )
    if not np.isfinite(offset).all():
        mass = int(np.argmin(np.isfinite(offset)))
        raise ValueError(f"{where}: dloglike_offset of mass {mass} is {offset[mass]}.")
    highest = np.nanmax(dloglike, initial=-np.inf)
    if highest > DLOGLIKE_TOLERANCE:
        mass = int(np.argmax(np.nanmax(dloglike, axis=1)))
        raise ValueError(
            f"{where}: dloglike_scan is ln L relative to its maximum and can't be positive, got "
            f"{highest:g} at mass {mass}. Is the sign that of -ln L?"
        )
    return {
        "norm": norm, "dloglike": dloglike, "offset": offset, "where": where, "name": hdu.name,
        "context": read_context(hdu, process, where),
    }  # fmt: skip


def _common_context(tables):
    """What all channels of a file must share."""
    first = next(iter(tables.values()))
    for table in tables.values():
        for name, value in table["context"].items():
            expected = first["context"][name]
            same = value == expected or (name == "astro" and np.isnan([value, expected]).all())
            if not same:
                label = CONTEXT_LABELS.get(name, name)
                raise ValueError(
                    f"{table['where']}: {label} is {value}, but {expected} in HDU "
                    f"{first['name']}; were the HDUs of two targets mixed?"
                )
    return first["context"]


def _target(source, header, context):
    """Name of the target, or None for a stack or where it can't be known."""
    if header.get("OBJECT"):
        return str(header["OBJECT"]).strip()
    if np.isnan(context["astro"]):
        return None
    known = "|".join(("none", *GAUSSIAN_PRIORS, *OTHER_PRIORS))
    if re.fullmatch(rf"dmlike_.+_({known})(_\d{{6}})?\.fits(\.gz)?", source.name):
        return source.path.resolve().parent.name
    return None


def _describe_jfactor(meta, source, header, context, prior, jfactor_method):
    """Fill in J, its prior and what was done with it."""
    notes = list(meta.notes)
    if np.isnan(context["astro"]):
        meta.jfactor_method = jfactor_method or header.get("JMETHOD") or None
        if meta.jfactor_method is None:
            known = "|".join(("none", *GAUSSIAN_PRIORS, *OTHER_PRIORS))
            kind = re.search(rf"_({known})(_\d+)?\.fits", source.name)
            if kind is None:
                notes.append(f"{source.name} does not say how the J-factors were treated.")
            else:
                meta.jfactor_method = "fixed" if kind[1] == "none" else "profile"
                if kind[1] in OTHER_PRIORS:
                    notes.append(_convention_note(source, kind[1]))
        meta.prior, meta.notes = prior, notes
        return
    where = f"{source.path}, astro_value"
    if not context["astro"] > 0:
        raise ValueError(f"{where}: J must be positive, got {context['astro']}.")
    meta.log10_jfactor = check_log10_jfactor(np.log10(context["astro"]), where)
    if context["prior"] is not None:
        kind, mean, sigma, applied = context["prior"]
        if abs(np.log10(mean / context["astro"])) > 3:
            raise ValueError(
                f"{source.path}: prior_mean is {mean:g} but astro_value {context['astro']:g}; the "
                "prior must be that of J itself."
            )
        if applied:
            meta.jfactor_method = "profile"
        if kind in GAUSSIAN_PRIORS:
            meta.prior = JFactorPrior(float(np.log10(mean)), float(sigma))
        else:
            what = "applied" if applied else "not applied; give prior= to use a width"
            notes.append(f"{_convention_note(source, kind)} It is {what}.")
    if prior is not None:
        meta.prior = prior
    meta.jfactor_method = jfactor_method or header.get("JMETHOD") or meta.jfactor_method
    meta.notes = notes


def _convention_note(source, kind):
    return (
        f"{source.name}: dmpipe's J-factor prior {kind!r} is not the Gaussian likelihood of the "
        "observed log10 J that this package profiles; limits differ."
    )


# ---- writing -------------------------------------------------------------------------------------


def write(castro, path, ref_sigmav=1e-26, ref_jfactor=1e19, ref_tau=1e26, ref_dfactor=1e17):
    """Write dmpipe's layout.

    Masses without information are kept, with a constant likelihood, so that all channels fit
    ``MASSES``. Strengths from which a profile rests on extrapolated input are not part of the
    layout.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
    path : `~pathlib.Path`
    ref_sigmav, ref_jfactor, ref_tau, ref_dfactor : float
        References [cm3 s-1], [GeV2 cm-5], [s], [GeV cm-2]. Defaults are dmpipe's.
    """
    where = Path(path).name
    meta = castro.meta
    if castro.geom.axes.names != ["mass", "channel"]:
        raise ValueError(
            f"{where}: dmpipe's layout holds the axes mass and channel only, got "
            f"{castro.geom.axes.names}; write the parts from iter_by_axis."
        )
    unknown = [name for name in castro.channels if name not in CHANNEL_CODES]
    if unknown:
        raise ValueError(
            f"{where}: dmpipe has no channel {', '.join(unknown)}; it has "
            f"{', '.join(CHANNEL_CODES)}. Leave them out with slice_by_coord."
        )
    decay = castro.process == "decay"
    scale = 1 / ref_tau if decay else ref_sigmav
    norm = castro.strength_scan.to_value(STRENGTH_UNITS[castro.process]) / scale
    dloglike = -0.5 * castro.delta_stat
    offset = -0.5 * np.nan_to_num(castro["stat"].data[..., 0, 0])
    prior = _prior_values(castro, where)
    references = (ref_dfactor, ref_tau) if decay else (ref_jfactor, ref_sigmav)
    astro = np.nan if meta.log10_jfactor is None else 10.0**meta.log10_jfactor
    hdus = [fits.PrimaryHDU()]
    for i, channel in enumerate(castro.channels):
        columns = [
            _array_column("norm_scan", norm[i]),
            _array_column("dloglike_scan", dloglike[i]),
            _array_column("dloglike_offset", offset[i]),
            fits.Column("astro_value", "D", array=[astro]),
        ]
        for name, value in zip(REFERENCES[castro.process], references, strict=True):
            columns.append(fits.Column(name, "D", array=[value]))
        for name, value in zip(PRIOR_COLUMNS, prior, strict=False):
            kind = {"prior_type": "16A", "prior_applied": "L"}.get(name, "D")
            columns.append(fits.Column(name, kind, array=np.array([value])))
        name = CHANNEL_CODES[channel][0] + ("_decay" if decay else "")
        hdu = fits.BinTableHDU.from_columns(columns, name=name.upper())
        for keyword, field in KEYWORDS.items():
            if getattr(meta, field):
                hdu.header[keyword] = getattr(meta, field)
        hdus.append(hdu)
    code = CHANNEL_CODES[castro.channels[0]][1] + (100 if decay else 0)
    hdus.append(
        fits.BinTableHDU.from_columns(
            [
                _array_column("masses", castro.masses.to_value("GeV")),
                fits.Column("channel", "K", array=[code]),
            ],
            name="MASSES",
        )
    )
    fits.HDUList(hdus).writeto(path)


def _array_column(name, values):
    dim = "(" + ",".join(str(n) for n in reversed(values.shape)) + ")"
    return fits.Column(name, f"{values.size}D", dim=dim, array=values[None])


def _prior_values(castro, where):
    """Values of the prior columns, none where the layout has no prior."""
    meta = castro.meta
    if meta.jfactor_method == "marginal":
        raise ValueError(
            f"{where}: dmpipe's layout can't say that J was integrated out (marginal); write the "
            "result as castro."
        )
    if meta.prior is None or meta.jfactor_method == "fixed":
        return ()
    prior = meta.prior
    if not prior.is_gaussian or prior.err_low != prior.err_high:
        raise ValueError(
            f"{where}: dmpipe knows symmetric Gaussian widths only, the prior is {prior!r}; set "
            "castro.meta.prior to one, or to None."
        )
    applied = meta.jfactor_method == "profile"
    return ("lgauss_like", 10.0**prior.log10_jfactor, prior.err_low, applied)
