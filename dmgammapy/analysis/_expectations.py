"""What is expected without a signal: backgrounds fitted to counts, and notes on those guessed."""

import numpy as np

from dmgammapy.datasets import CountsLikelihood, SEDLikelihoodDataset
from dmgammapy.makers import SEDExpectation

__all__ = ["fit_backgrounds", "note_few_counts", "note_guessed_backgrounds"]

MOST_NORMS = 4  # that a note lists
FEW_COUNTS = 10.0


def fit_backgrounds(datasets, members, free):
    """Fit the models other than dark matter to counts, without a signal.

    Limits of data profile these norms, so what is expected must not depend on the values that a
    file of models happens to begin with.

    Parameters
    ----------
    datasets : list of `~gammapy.datasets.Dataset`
        Models of counts datasets are changed.
    members : list of dict
        Of each dataset; those of one are fitted together.
    free : {"free", "fixed"}, list of str or `~astropy.units.Quantity`
        Norms that limits profile, see `~dmgammapy.datasets.CountsLikelihood.from_datasets`.

    Returns
    -------
    notes : list of str
    """
    groups = {}
    for dataset, member in zip(datasets, members, strict=True):
        if not isinstance(dataset, SEDLikelihoodDataset):
            groups.setdefault(member["task"], (member, []))[1].append(dataset)
    if isinstance(free, str) and free == "fixed":
        return []
    notes = []
    for member, group in groups.values():
        likelihood = CountsLikelihood.from_datasets(group, free=free)
        if not likelihood.norm_parameters and not likelihood.nonlinear_parameters:
            continue  # ON/OFF data profile their background in any case
        fit = likelihood.fit(norm=0)
        likelihood.update_models(fit)
        values = {name: value for name, value in fit.values.items() if name != likelihood.names[0]}
        shown = [f"{name} = {value:.4g}" for name, value in list(values.items())[:MOST_NORMS]]
        if len(values) > MOST_NORMS:
            shown.append(f"{len(values) - MOST_NORMS} more")
        notes.append(
            f"{_who(member)}: expected counts are those of the background fitted to the data of "
            f"all energies without a signal ({', '.join(shown)})."
        )
    return notes


def note_guessed_backgrounds(datasets, members, scenario):
    """Notes on the bins whose background is a guess (``undetermined: power_law``).

    Parameters
    ----------
    datasets : list of `~gammapy.datasets.Dataset`
    members : list of dict
        Of each dataset.
    scenario : dict
        ``undetermined`` and ``least_counts`` of a simulation without a table of expectations.

    Returns
    -------
    notes : list of str
        One, or none if every bin knows its background.
    """
    if scenario["undetermined"] != "power_law":
        return []
    found = []
    for dataset, member in zip(datasets, members, strict=True):
        if isinstance(dataset, SEDLikelihoodDataset):
            lost = SEDExpectation.undetermined_bins(dataset, scenario["least_counts"])
            if lost.any():
                found.append(f"{_who(member)} {lost.sum()} of {dataset.n_bins} ({_ranges(lost)})")
    if not found:
        return []
    return [
        f"the expected background of bins with less than {scenario['least_counts']:g} counts is a "
        "guess, a power law through the other bins (undetermined: power_law); bins filled so: "
        f"{'; '.join(found)}."
    ]


def _who(member):
    return " ".join(word for word in (member["label"], member["instrument"]) if word)


def _ranges(flags):
    """Places of True as text: 3, 7-9."""
    return ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in _runs(flags))


def _runs(flags):
    """First and last place of each run of True."""
    places = np.flatnonzero(flags)
    parts = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if places.size else []
    return [(part[0], part[-1]) for part in parts]


def background_counts(members):
    """Counts of background that matter to the signal of each row.

    Of one bin they are its background b. Of several, with the signals s,
    ``sum(s^2 / b)^3 / sum(s^3 / b^2)^2``: those of one bin in which the score of the signal is as
    skewed, which is what asymptotic formulas neglect.

    Parameters
    ----------
    members : list
        Of the fast engine of `~dmgammapy.estimators.ExpectedLimitsEstimator`.

    Returns
    -------
    counts : array, shape (n_row,)
        NaN without a signal.
    """
    information = skewness = 0.0
    for member in members:
        signal, background = member.profiles.signal, member.profiles.background
        ratio = np.divide(
            signal, background, out=np.zeros_like(signal), where=(signal > 0) & (background > 0)
        )
        information = information + (signal * ratio).sum(axis=1)
        skewness = skewness + (signal * ratio**2).sum(axis=1)
    known = information > 0
    counts = np.full(known.shape, np.nan)
    counts[known] = information[known] ** 3 / skewness[known] ** 2
    return counts


def note_few_counts(engine, channels, masses):
    """Note that asymptotic limits and bands are off where few counts are expected.

    Parameters
    ----------
    engine : object
        The fast engine, with ``members``; of others, whose bins are not known, nothing is said.
    channels : list of str
    masses : `~astropy.units.Quantity`

    Returns
    -------
    notes : list of str
    """
    if not hasattr(engine, "members"):
        return [
            "whether enough background counts are expected for asymptotic bands and limits is not "
            "checked for counts data; compare with bands from toys."
        ]
    counts = background_counts(engine.members).reshape(len(channels), len(masses))
    found = []
    for channel, row in zip(channels, counts, strict=True):
        few = row < FEW_COUNTS
        if few.any():
            ends = [[f"{masses[k].to_value('GeV'):.4g}" for k in run] for run in _runs(few)]
            where = ", ".join(a if a == b else f"{a} to {b}" for a, b in ends)
            found.append(f"{channel} at {where} GeV, down to {row[few].min():.2g}")
    if not found:
        return []
    return [
        f"less than {FEW_COUNTS:g} background counts are expected under the signal "
        f"({'; '.join(found)}): bands and limits from Asimov data, which take fluctuations for "
        "Gaussian, can be off by up to a factor of two there; compare with bands from toys."
    ]
