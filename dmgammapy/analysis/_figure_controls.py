"""Figures of best fits, test statistics and shares."""

import astropy.units as u
import numpy as np
from matplotlib.colors import Normalize

from dmgammapy.visualization import plot_best_fits, plot_ts_cumulative

from . import _figure_common as common
from ._figure_layers import OF_SIMULATIONS

__all__ = ["best_fits", "contributions", "control_best_fits", "ts"]

MAX_TARGETS = 30  # rows of the contributions
FAR = 2.0  # of the simulated TS
FIRST = ("Best fit, 68 %", "No signal fits best", "Expected, median", "Simulations, median")


def best_fits(castro, channel=None, bands=None, roster=None):
    """Draw the best signal strengths against mass, on what is expected without a signal.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
    channel : str, optional
        Needed if there are several.
    bands : `~dmgammapy.estimators.CastroMaps`, optional
        With the axis quantile or realisation.
    roster : str, optional
        Name for the title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        Decay is drawn as rate, whose best fit can be zero. Points where no signal fits best are
        open and lie at zero.
    """
    return _draw_best(castro, channel, bands, None, roster, ())


def control_best_fits(bands, channel=None, truth=None, roster=None):
    """Draw the best fits of simulations with an injected signal, and the signal.

    Parameters
    ----------
    bands : `~dmgammapy.estimators.CastroMaps`
        Ensemble with the axis realisation, or its bands with the axis quantile.
    channel : str, optional
        Needed if there are several.
    truth : tuple, optional
        Mass, strength (cross-section, decay rate or lifetime) and, optionally, channel.
    roster : str, optional
        Name for the title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    n = common.n_realisations(bands)
    return _draw_best(None, channel, bands, truth, roster, [f"{n} simulations"] if n else [])


def ts(ensembles, castro=None, channel=None, mass=None, roster=None):
    r"""Draw the distribution of TS of simulations and blank fields against half of chi2.

    Parameters
    ----------
    ensembles : dict of `~dmgammapy.estimators.CastroMaps`
        With the axis realisation, by name such as "Simulations" and "Blank fields".
    castro : `~dmgammapy.estimators.CastroMaps`, optional
        Data, whose TS is marked.
    channel : str, optional
        Needed if there are several.
    mass : `~astropy.units.Quantity`, optional
        The nearest is taken. Default is where the data have their highest TS. That mass being
        chosen by the data, the largest TS of all masses in each realisation ("all masses") is
        drawn, too.
    roster : str, optional
        Name for the title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    if not ensembles:
        return common.explain("There are no simulations and no blank fields.")
    first = next(iter(ensembles.values()))
    observed = None if castro is None else common.pick(castro, "ts", channel)
    parts = common.title_parts(first if castro is None else castro, channel, roster, cl=False)
    i = _mass_index(first, observed, castro, mass)
    words = common.mass_text(first.masses[i])
    samples = {}
    for name, ensemble in ensembles.items():
        values = common.pick(ensemble, "ts", channel)
        here = values[:, i]
        if np.isfinite(here).any():
            samples[f"{name}, {words}"] = here
        if mass is None and len(first.masses) > 1 and np.isfinite(values).any():
            known = np.where(np.isnan(values), -np.inf, values).max(axis=1)
            samples[f"{name}, all masses"] = known[np.isfinite(known)]
    if not samples:
        return common.explain("No realisation has a TS at any mass.", parts)
    figure, ax = common.new_figure()
    plot_ts_cumulative(samples, ax=ax)
    value = None if observed is None else observed[_nearest(castro, first.masses[i])]
    if value is not None and np.isfinite(value):
        _mark_observed(ax, value, f"Observed, TS = {value:.3g}")
    common.set_title(ax, *parts)
    return common.finish(figure, ax)


def contributions(table, channel=None, castro=None, roster=None, main_method=None):
    """Draw the share of every target in the combined limit, by mass.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        As `~dmgammapy.estimators.StackedDMLikelihood.contributions`: columns target, channel,
        mass and share.
    channel : str, optional
        Needed if there are several.
    castro : `~dmgammapy.estimators.CastroMaps`, optional
        The stack, for the title.
    roster : str, optional
        Name for the title.
    main_method : str, optional
        Method of the main limits of the analysis: if that of the stack is another, the title
        names it.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    names_of_channels = list(dict.fromkeys(str(c) for c in table["channel"]))
    if channel is None and len(names_of_channels) == 1:
        channel = names_of_channels[0]
    table = table[[str(c) == channel for c in table["channel"]]]
    if castro is None:
        parts = [roster and common.plain_text(roster), channel and _latex(channel)]
    else:
        parts = common.title_parts(castro, channel, roster, main_method=main_method)
    if not len(table):
        return common.explain(f"There are no shares of the channel {channel}.", parts)
    names = list(dict.fromkeys(str(name) for name in table["target"]))
    mass = np.unique(u.Quantity(table["mass"]).to_value("GeV"))
    share = np.full((len(names), len(mass)), np.nan)
    rows = [names.index(str(name)) for name in table["target"]]
    share[rows, np.searchsorted(mass, u.Quantity(table["mass"]).to_value("GeV"))] = table["share"]
    known = np.isfinite(share).any(axis=0)
    if not known.any():
        return common.explain("The limit has no shares at any mass.", parts)
    order = np.argsort(-np.nanmean(share[:, known], axis=1), kind="stable")
    rows, labels = share[order], [names[k] for k in order]
    if len(rows) > MAX_TARGETS:
        rest = rows[MAX_TARGETS - 1 :].sum(axis=0)
        rows = np.vstack([rows[: MAX_TARGETS - 1], rest])
        labels = [*labels[: MAX_TARGETS - 1], f"{len(names) - MAX_TARGETS + 1} others"]
    return _draw_shares(mass, rows, labels, parts)


# ---- parts -----------------------------------------------------------------------------------


def _draw_best(castro, channel, bands, truth, roster, more):
    about = bands if castro is None else castro
    parts = common.title_parts(about, channel, roster, cl=False, more=more)
    band = None if bands is None else common.band_values(bands, channel, best=True)
    best = None if castro is None else common.best_values(castro, channel)
    if (best is None or not np.isfinite(best).any()) and not band:
        return common.explain("There is no best fit at any mass.", parts)
    figure, ax = common.new_figure()
    star = common.truth_of(truth, about, channel, lifetime=False)
    if castro is not None and band:
        _same_masses(castro, bands)
    expected = {"median": band.median, "bands": band.bands} if band else {}
    if band:
        expected["band_label"] = common.band_label(bands, band.bands, castro is None)
    if castro is None:
        expected["median_label"] = OF_SIMULATIONS
    plot_best_fits(
        about.masses, observed=best,
        errors=None if best is None else _errors(castro, channel, best),
        truth=None if star is None else star[:2], ax=ax, observed_label=FIRST[0],
        **expected,
    )  # fmt: skip
    if star is not None:
        for line in ax.get_lines():
            if line.get_label() == "Injected signal":
                line.set(label=star[2], color="0.7" if "(" in star[2] else "white")
    common.set_title(ax, *parts)
    return common.finish(figure, ax, FIRST)


def _same_masses(castro, bands):
    a, b = castro.masses.to_value("GeV"), bands.masses.to_value("GeV")
    if a.shape != b.shape or not np.allclose(a, b, rtol=1e-6):
        raise ValueError(f"masses of data ({a} GeV) and bands ({b} GeV) differ.")


def _errors(castro, channel, best):
    reference = common.pick(castro, "reference", channel)
    errors = [common.pick(castro, name, channel) * reference for name in ("norm_errn", "norm_errp")]
    return u.Quantity(errors, best.unit)


def _nearest(castro, mass):
    distance = np.log(castro.masses.to_value("GeV") / u.Quantity(mass).to_value("GeV"))
    return int(np.argmin(np.abs(distance)))


def _mass_index(first, observed, castro, mass):
    if mass is not None:
        return _nearest(first, mass)
    if observed is None or not np.isfinite(observed).any():
        return len(first.masses) // 2
    return _nearest(first, castro.masses[int(np.nanargmax(observed))])


def _mark_observed(ax, value, label):
    """A line, or an arrow to where it would squeeze all the rest."""
    end = ax.get_xlim()[1]
    if value <= FAR * end:
        ax.axvline(value, color="black", linewidth=2, label=label)
        ax.set_xlim(right=max(end, 1.1 * value))
        return
    ax.plot(
        [0.985], [0.5], ">", color="black", markersize=11, transform=ax.transAxes,
        linestyle="none", label=f"{label} (to the right)",
    )  # fmt: skip


def _latex(channel):
    from dmgammapy.spectra import channel_latex

    try:
        return channel_latex(channel)
    except (ValueError, KeyError):
        return common.plain_text(channel)


def _draw_shares(mass, rows, labels, parts):
    figure, ax = common.new_figure(height=1.6 + 0.22 * len(rows))
    edges = common.mass_edges(mass)
    bound = np.nanmax(np.abs(rows)) or 1.0
    image = ax.pcolormesh(
        edges, np.arange(len(rows) + 1), 100 * rows, cmap="cividis",
        norm=Normalize(-100 * bound, 100 * bound),
    )  # fmt: skip
    ax.set(xscale="log", xlabel="Mass [GeV]")
    ax.set_yticks(np.arange(len(rows)) + 0.5, [common.plain_text(label) for label in labels])
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    figure.colorbar(image, label="Share of the combined limit [%]", pad=0.02)
    common.set_title(ax, *parts)
    return figure
