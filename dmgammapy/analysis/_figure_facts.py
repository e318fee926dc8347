"""What a figure shows, in words and numbers of JSON: captions say nothing else."""

from dmgammapy.estimators.castro_ensemble import content_of_few
from dmgammapy.estimators.io import published_curves
from dmgammapy.estimators.io.published import confidence_level, read_published_limits
from dmgammapy.spectra import channel_label

from . import _figure_common as common
from ._figure_region import region_figure_facts
from ._limit_methods import limit_method

__all__ = ["figure_facts"]

OF_BEST_FITS = ("best_fits", "control_best_fits")
WITHOUT_LIMITS = (*OF_BEST_FITS, "ts", "sed_castro", "spectra_by_channel", "spectra_by_mass")


def figure_facts(call, arguments):
    """What a figure shows, for its caption.

    Parameters
    ----------
    call : str
        Name of the function that draws, of `dmgammapy.analysis.figures`.
    arguments : dict
        Its keyword arguments.

    Returns
    -------
    facts : dict
        As far as they apply, JSON-able:

        - ``method``: of the limits, such as "cls"
        - ``bands``, ``blank``: what `band_facts` says
        - ``n_targets``: of those that are drawn in grey
        - ``treatments``: of J, that are compared
        - ``published``: label and confidence level (or None) of each curve
        - ``cl``: confidence level of the limits
        - ``injected``: channel of the signal of a simulation
        - ``residuals``: of a region, what `region_figure_facts` says

    Examples
    --------
    >>> from dmgammapy.analysis.figures import figure_facts
    >>> figure_facts("sed_castro", {"cl": 0.9})
    {'cl': 0.9}
    """
    if "fit" in arguments:
        return region_figure_facts(call, arguments["fit"])
    channel = arguments.get("channel")
    facts = {}
    castros = arguments.get("castros") or {}
    main = arguments.get("castro", next(iter(castros.values()), None))
    bands = arguments.get("bands")
    if call == "ensemble_limits":
        main = arguments["ensemble"]
        bands = main if bands is None else bands
    main = bands if main is None else main
    if call == "sed_castro":
        facts["cl"] = arguments.get("cl", 0.95)
    if call not in WITHOUT_LIMITS and main is not None:
        facts |= {"method": arguments.get("method") or limit_method(main), "cl": main.meta.cl}
    for name, castro in (("bands", bands), ("blank", arguments.get("blank"))):
        if castro is not None:
            found = band_facts(castro, channel, best=call in OF_BEST_FITS)
            if found:
                facts[name] = found
    if len(arguments.get("targets") or {}) > 1:
        facts["n_targets"] = len(arguments["targets"])
    if castros:
        facts["treatments"] = list(castros)
    if arguments.get("published") is not None and main is not None:
        facts["published"] = _published(arguments["published"], main.process)
    truth = arguments.get("truth")
    if truth is not None and len(truth) > 2 and truth[2] is not None:
        facts["injected"] = channel_label(truth[2])
    return facts


def band_facts(bands, channel=None, best=False):
    """What of bands is drawn.

    Parameters
    ----------
    bands : `~dmgammapy.estimators.CastroMaps`
        With the axis quantile or realisation.
    channel : str, optional
        Needed if there are several.
    best : bool
        Whether of best fits. Default is False, of limits.

    Returns
    -------
    facts : dict
        Empty if nothing is drawn; otherwise ``median`` (whether it is drawn), ``contents`` (the
        fractions that the bands hold, ascending), ``n`` (number of realisations or None),
        ``holds`` (what each band holds of further realisations, on average), ``source`` ("asimov"
        or "simulations").
    """
    values = common.band_values(bands, channel, best)
    if not values:
        return {}
    n = common.n_realisations(bands)
    contents = sorted(values.bands)
    asimov = n is None and "asymptotic bands" in " ".join(bands.meta.notes)
    return {
        "median": values.median is not None,
        "contents": contents,
        "n": n,
        "holds": [content_of_few((1 - c) / 2, (1 + c) / 2, n) for c in contents] if n else [],
        "source": "asimov" if asimov else "simulations",
    }


def _published(published, process):
    tables = published if isinstance(published, list | tuple) else [published]
    found = []
    for item in tables:
        table = item if hasattr(item, "colnames") else read_published_limits(item)
        ((label, _, _),) = published_curves(table, process)
        found.append({"label": label, "cl": confidence_level(table)})
    return found
