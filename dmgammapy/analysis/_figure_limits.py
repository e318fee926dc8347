"""Figures of limits against mass."""

import astropy.units as u
import numpy as np
from matplotlib.figure import Figure

from dmgammapy.estimators.io import published_curves
from dmgammapy.visualization import plot_limit_bands, plot_limit_ratios, plot_limits

from . import _figure_common as common
from . import _figure_layers as layers

__all__ = [
    "control_limits", "ensemble_limits", "final_limits", "jfactor_treatments", "limits",
    "simulated_limits", "target_limits",
]  # fmt: skip

Y_LABELS = {
    "annihilation": r"$\langle\sigma v\rangle$ upper limit [cm$^{3}$ s$^{-1}$]",
    "decay": r"Lifetime $\tau$ lower limit [s]",
}
FIRST = ("Observed", "Simulated data", "Expected, median", "Simulations, median")


def target_limits(castro, channel=None, bands=None, published=None, main_method=None):
    r"""Draw the limit of one target, on its band if there is one.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        Of a target.
    channel : str, optional
        Needed if there are several.
    bands : `~dmgammapy.estimators.CastroMaps`, optional
        Expected limits, with the axis quantile or realisation.
    published : table, path or list of them, optional
        Limits to compare with, see `~dmgammapy.estimators.io.published_curves`.
    main_method : str, optional
        Method of the main limits of the analysis: if that of the target is another, the title
        names it.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`

    Raises
    ------
    ValueError
        If the bands are of limits by another method.

    Examples
    --------
    >>> import numpy as np
    >>> import astropy.units as u
    >>> from dmgammapy.analysis.figures import target_limits
    >>> from dmgammapy.estimators import CastroMaps
    >>> x = np.append(0, np.geomspace(1e-28, 1e-22, 200))
    >>> stat = (x / np.array([[[1e-26], [1e-25]]])) ** 2
    >>> masses, unit = [10, 100] * u.GeV, u.Unit("cm3 s-1")
    >>> castro = CastroMaps.from_scan(x * unit, stat, masses, ["b"], target="draco")
    >>> figure = target_limits(castro)
    >>> figure.axes[0].get_title()
    'draco, $b\\bar{b}$, J not treated, 95 % CL'
    """
    return _draw(castro, channel, bands=bands, published=published, main_method=main_method)


def limits(castro, channel=None, targets=None, bands=None, published=None, roster=None):
    """Draw the limit of a stack, each target's in grey, its band and published limits.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        The stack.
    channel : str, optional
        Needed if there are several.
    targets : dict of `~dmgammapy.estimators.CastroMaps`, optional
        Results of the targets, by the same method.
    bands : `~dmgammapy.estimators.CastroMaps`, optional
        Expected limits, with the axis quantile or realisation.
    published : table, path or list of them, optional
        Limits to compare with.
    roster : str, optional
        Name for the title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`

    Raises
    ------
    ValueError
        If targets or bands are of limits by another method.
    """
    return _draw(castro, channel, targets=targets, bands=bands, published=published, roster=roster)


def final_limits(castro, channel=None, bands=None, blank=None, published=None, roster=None):
    """Draw the observed limit on what is expected, from simulations and from blank fields.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        The stack.
    channel : str, optional
        Needed if there are several.
    bands, blank : `~dmgammapy.estimators.CastroMaps`, optional
        Expected limits of simulations without a signal, and limits of blank fields: with the axis
        quantile or realisation.
    published : table, path or list of them, optional
        Limits to compare with.
    roster : str, optional
        Name for the title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`

    Raises
    ------
    ValueError
        If bands are of limits by another method.
    """
    return _draw(castro, channel, bands=bands, blank=blank, published=published, roster=roster)


def control_limits(bands, channel=None, truth=None, method=None, roster=None):
    """Draw the limits of simulations with an injected signal, and the signal.

    Limits at CL have to lie above the truth in a fraction CL of the simulations, at its mass.

    Parameters
    ----------
    bands : `~dmgammapy.estimators.CastroMaps`
        Ensemble with the axis realisation, or its bands with the axis quantile.
    channel : str, optional
        Needed if there are several.
    truth : tuple, optional
        Mass, strength (cross-section, decay rate or lifetime) and, optionally, channel.
    method : str, optional
        Of the limits. Default is what the notes of the ensemble say.
    roster : str, optional
        Name for the title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    n = common.n_realisations(bands)
    method = common.limit_method(bands) if method is None else method
    more = [f"{n} simulations"] if n else []
    return _draw(
        None, channel, bands=bands, truth=truth, roster=roster, more=more, method=method
    )  # fmt: skip


def simulated_limits(castro, channel=None, targets=None, bands=None, truth=None, roster=None,
                     number=None):  # fmt: skip
    """Draw the limit of a single simulation, its targets, and the signal it holds.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        Stack of the simulation.
    channel, targets, roster
        As for `limits`.
    bands : `~dmgammapy.estimators.CastroMaps`, optional
        Of all simulations.
    truth : tuple, optional
        Mass, strength and, optionally, channel.
    number : int, optional
        Of the realisation, for the title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`

    Raises
    ------
    ValueError
        If targets or bands are of limits by another method.
    """
    more = ["simulation" if number is None else f"simulation {number}"]
    return _draw(
        castro, channel, targets=targets, bands=bands, truth=truth, roster=roster, more=more,
        label="Simulated data",
    )  # fmt: skip


def ensemble_limits(ensemble, channel=None, n=10, bands=None, truth=None, roster=None):
    """Draw the limits of some simulations over the band of all.

    Parameters
    ----------
    ensemble : `~dmgammapy.estimators.CastroMaps`
        With the axis realisation.
    channel : str, optional
        Needed if there are several.
    n : int
        The first so many are drawn. Default is 10.
    bands : `~dmgammapy.estimators.CastroMaps`, optional
        Default is that of the ensemble.
    truth, roster
        As for `control_limits`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    if "realisation" not in ensemble.geom.axes.names:
        raise ValueError(f"an ensemble has the axis realisation, got {ensemble.geom.axes.names}.")
    values = common.limit_values(ensemble, channel)[:n].value
    single = (ensemble.masses, values, f"{len(values)} single simulations")
    more = [f"{common.n_realisations(ensemble)} simulations"]
    bands = ensemble if bands is None else bands
    return _draw(None, channel, bands=bands, truth=truth, roster=roster, more=more, grey=single)


def jfactor_treatments(castros, channel=None, roster=None, main_method=None):
    """Draw limits of the same data by J treatment, and their ratio to the first.

    Parameters
    ----------
    castros : dict of `~dmgammapy.estimators.CastroMaps`
        By name of the treatment; the first is what the others are compared with.
    channel : str, optional
        Needed if there are several.
    roster : str, optional
        Name for the title.
    main_method : str, optional
        Method of the main limits of the analysis: if that of these is another, the title names
        it.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`

    Raises
    ------
    ValueError
        If limits are by different methods.
    """
    if not castros:
        return common.explain("There is no J treatment to compare.")
    first = next(iter(castros.values()))
    common.check_methods(first, castros)
    parts = common.title_parts(first, channel, roster, main_method=main_method)
    del parts[2]  # the treatment
    curves = {
        name: (c.masses, common.limit_values(c, channel), common.status_values(c, channel))
        for name, c in castros.items()
    }
    known = [curve[1].value for curve in curves.values()]
    if not any(np.isfinite(values).any() for values in known):
        return common.explain("No treatment gives a limit at any mass.", parts)
    figure = Figure(figsize=(common.WIDTH, 5.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    plot_limits(curves, thermal_relic=False, ax=top)
    plot_limit_ratios(curves, ax=bottom)
    for ax in (top, bottom):
        ax.get_lines()[0].set_color("black")
    masses = np.concatenate([curve[0].to_value("GeV") for curve in curves.values()])
    common.set_view(top, masses, known)
    if first.process == "annihilation":
        layers.draw_relic(top, first["reference"].unit)
    common.mark_missing(top, first, channel)
    top.set_xlabel("")
    common.set_title(top, *parts)
    return common.finish(figure, top)


# ---- the one that draws ----------------------------------------------------------------------


def _draw(
    castro, channel, targets=None, bands=None, blank=None, published=None, truth=None,
    roster=None, more=(), label="Observed", grey=None, method=None, main_method=None,
):  # fmt: skip
    """Figure of a limit with all that goes along."""
    about = bands if castro is None else castro
    common.check_methods(castro, {"bands": bands, "blank fields": blank} | (targets or {}))
    parts = common.title_parts(
        about, channel, roster, more=more, method=method, main_method=main_method
    )
    limit = None if castro is None else common.limit_values(castro, channel)
    band = None if bands is None else common.band_values(bands, channel)
    outside = None if blank is None else common.band_values(blank, channel)
    has_limit = limit is not None and np.isfinite(limit).any()
    if not (has_limit or band or outside):
        return common.explain(_why_nothing(about, channel), parts)
    if grey is None and targets and len(targets) > 1:
        grey = layers.target_lines(targets, channel)
    figure, ax = common.new_figure()
    ax.set_xscale("log")
    ax.set_yscale("log")
    common.set_view(ax, about.masses.to_value("GeV"), [])  # a single mass has no range of its own
    if grey is not None:
        layers.draw_grey(ax, *grey)
    if band:
        simulated = {"median_label": layers.OF_SIMULATIONS} if castro is None else {}
        plot_limit_bands(
            band.masses, median=band.median, bands=band.bands, ax=ax, thermal_relic=False,
            band_label=common.band_label(bands, band.bands, castro is None), **simulated,
        )  # fmt: skip
        layers.mark_median(ax, bands, channel, band)
    if outside:
        layers.draw_blank(ax, outside, common.n_realisations(blank))
    curves = published_curves(published, about.process)
    shown = [] if grey is None else [grey[1]]
    shown += layers.draw_published(ax, curves, about.masses)
    unit = u.Unit("s") if about.process == "decay" else about["reference"].unit
    if has_limit:
        plot_limit_bands(
            castro.masses, limit, ax=ax, thermal_relic=False, observed_label=label,
            status=common.status_values(castro, channel),
        )  # fmt: skip
    ax.set(xlabel="Mass [GeV]", ylabel=Y_LABELS[about.process])
    ax.grid(which="major", alpha=0.25, linewidth=0.6)
    masses = about.masses.to_value("GeV")
    inner = [limit.value] if has_limit else []
    inner += [values for part in (band, outside) if part for values in part.inside]
    star = common.truth_of(truth, about, channel, lifetime=True)
    if star is not None:
        masses = np.append(masses, star[0].to_value("GeV"))
        inner.append(layers.draw_truth(ax, star))
    common.set_view(ax, masses, inner, shown)
    if about.process == "annihilation":
        layers.draw_relic(ax, unit)
    if castro is not None:
        common.mark_missing(ax, castro, channel)
    common.set_title(ax, *parts)
    return common.finish(figure, ax, FIRST)


def _why_nothing(castro, channel):
    status = np.unique(common.status_values(castro, channel))
    reasons = [common.MISSING[s][0].lower() for s in status if s in common.MISSING]
    why = f" ({', '.join(reasons)})" if reasons else ""
    return f"There is no limit at any mass{why}."
