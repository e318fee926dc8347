"""Read, in a worker, what a task says that it needs: spectra, models and datasets of members."""

from collections import OrderedDict
from functools import partial

import astropy.units as u
import numpy as np
from astropy.table import QTable

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.datasets.io import SED_FORMATS, identify_sed_format
from dmgammapy.estimators import (
    CastroEstimator,
    CastroMaps,
    JFactorCovariance,
    StackedDMLikelihood,
)
from dmgammapy.estimators.io import identify_castro_format, read_gloryduck_channels
from dmgammapy.makers import SEDExpectation
from dmgammapy.spectra import BinnedSpectra, canonical_channel, channel_label, read_spectra
from dmgammapy.targets import Halo, Target
from dmgammapy.targets.core import factor_name

from ._counts_data import describe, describe_member, read_counts
from ._files import HeldTables
from ._hashes import hash_file
from ._owners import check_owner
from ._tasks import digest

__all__ = [
    "castro_of",
    "describe",
    "make_estimator",
    "make_stack",
    "read_expectations",
    "read_member",
    "widths_of",
    "write_castro",
]

CREATED = "see manifest.json"
SPECTRA = "spectra"
CACHED = 512
SAME_JFACTOR = 1e-3  # dex
PLACEHOLDER = {"mass": 1 * u.TeV, "channel": "b", "spectra": "pppc4"}


def write_castro(castro, path):
    """Write a castro result of which every byte depends on the input alone."""
    castro.meta.created = CREATED
    path.parent.mkdir(parents=True, exist_ok=True)
    castro.write(path)


def scan_spectra(params, files):
    """Photon yields of an analysis."""
    source = params["spectra"]
    if SPECTRA in files:
        source = source | {"path": str(files[SPECTRA])}
    return read_spectra(source)


def make_estimator(params, files):
    """`CastroEstimator` of an analysis."""
    background = params["background"]
    free = background["free"]
    if isinstance(free, str) and free not in ("free", "fixed"):
        free = u.Quantity(free)
    return CastroEstimator(
        masses=params["masses"] * u.GeV,
        channels=params["channels"],
        spectra=scan_spectra(params, files),
        process=params["process"],
        norm_type=params["norm_type"],
        cl=params["cl"],
        method=background["method"],
        free_background=free,
        cov_scale=background["cov_scale"],
        show_progress=False,
    )


def make_stack(castros, jfactor, cl):
    """`StackedDMLikelihood` with one of the J treatments.

    Parameters
    ----------
    castros : list of `CastroMaps`
    jfactor : dict
        ``method``, ``extra_widths``, ``covariance`` as of `stack_options`.
    cl : float
    """
    found = [(castro.meta.target, castro.meta.instrument) for castro in castros]
    options = stack_options(jfactor, found)
    return StackedDMLikelihood(castros, cl=cl, show_progress=False, **options)


def stack_options(jfactor, found=None):
    """Options of a stack with one of the J treatments.

    Parameters
    ----------
    jfactor : dict
        ``method``, ``extra_widths``, ``covariance`` (``targets`` and ``matrix``) of the whole
        analysis.
    found : list of (str, str), optional
        Target and instrument of each result in the stack: of what is said about others nothing is
        used. Default is to use all.
    """
    options = {"method": jfactor["method"]}
    if jfactor["method"] == "fixed":
        return options
    widths = jfactor.get("extra_widths")
    if widths and found is not None:
        widths = widths_of(widths, found)
    if widths:
        options["extra_widths"] = widths
    covariance = jfactor.get("covariance")
    if covariance:
        covariance = JFactorCovariance.create((covariance["targets"], covariance["matrix"]))
        here = list(covariance.names)
        if found is not None:
            names = {target for target, _ in found}
            here = [name for name in here if name in names]
        if len(here) > 1:
            options["jfactor_covariance"] = covariance.select(here)
    return options


def widths_of(widths, found):
    """Extra widths of the targets and instruments that are there."""
    out = {}
    for key, value in widths.items():
        if isinstance(value, dict):
            own = {name: width for name, width in value.items() if (key, name) in found}
            out |= {key: own} if own else {}
        elif any(instrument == key for _, instrument in found):
            out[key] = value
    return out


def read_member(params, files, member):
    """Datasets of one target and instrument with their models.

    Parameters
    ----------
    params : dict
        Of the analysis.
    files : dict of `~pathlib.Path`
    member : dict
        ``target``, ``instrument``, ``format``, ``spatial``, ``file`` and, for counts, ``models``:
        names of entries of ``files``; ``parts`` names those of single channels, by channel.

    Returns
    -------
    datasets : list of `~gammapy.datasets.Dataset` or `CastroMaps`
        A table of likelihoods is given as it is.
    """
    return read_with_owner(params, files, member)[0]


def read_with_owner(params, files, member):
    """As `read_member`, and of which target the file says it is, or None."""
    path = files[member["file"]]
    kind = member["kind"]
    if kind is None:
        kind = "sed" if _is_sed(path) else "castro"
    if kind == "counts":  # large, and rarely read twice
        return read_counts(files, member, path, make_models(params, files, member)), None
    read = _read_sed if kind == "sed" else _read_table
    names = (SPECTRA, member["file"], *member["parts"].values())
    used = {name: [str(files[name]), hash_file(files[name])] for name in names if name in files}
    key = digest([{n: params.get(n) for n in NEEDED}, member, used])
    result, said = _cached(key, partial(read, params, files, member, path))
    return [result], said


NEEDED = ("spectra", "process", "channels", "masses", "norm_type", "interpolation", "known")
_read = OrderedDict()


def _cached(key, read):
    """What this worker read before; the key holds the content of the file."""
    if key not in _read:
        _read[key] = read()
        while len(_read) > CACHED:
            _read.popitem(last=False)
    _read.move_to_end(key)
    return _read[key]


def _is_sed(path):
    try:
        return identify_sed_format(path) in SED_FORMATS
    except ValueError:
        return False


def _read_sed(params, files, member, path):
    dataset = SEDLikelihoodDataset.read(
        path,
        format=member["format"],
        norm_type=params["norm_type"],
        interpolation=params["interpolation"],
        instrument=member["instrument"] or None,
    )
    target = Target.from_dict(member["target"])
    said = dataset.name
    check_owner(said, target.name, params.get("known", ()), path)
    # random numbers go by this name: the same for all profiles of a target
    dataset._name = describe(target.name, member["instrument"])
    # the shape on the sky is in the likelihood already, J is the target's
    dataset.models = make_models(params, files, member | {"spatial": "point"})
    return dataset, said


def make_models(params, files, member):
    """Dark matter models of a member; mass and channel don't matter."""
    target = Target.from_dict(member["target"])
    spatial = member["spatial"]
    if spatial != "point":
        spatial = Halo.from_target(target).to_spatial_model(process=params["process"])
    spectra = scan_spectra(params, files)
    binned = isinstance(spectra, BinnedSpectra) and member["kind"] != "counts"
    mass, channel = params["masses"][-1] * u.GeV, params["channels"][0]
    given = {"mass": mass, "channel": channel, "spectra": spectra}
    models = target.to_models(
        process=params["process"], spatial=spatial, **(PLACEHOLDER if binned else given)
    )
    if binned:
        # Gammapy asks new models for dN/dE; all that SED likelihoods need is integrals over bins
        model = models[0].spectral_model
        model.spectra, model.mass, model.channel = spectra, mass, channel
    return models


def _read_table(params, files, member, path):
    target = Target.from_dict(member["target"])
    castro = _read_castro(params, files, member, path)
    if castro.process != params["process"]:
        raise ValueError(
            f"{path} is about {castro.process}, the analysis about {params['process']}."
        )
    said = castro.meta.target
    check_owner(said or "", target.name, params.get("known", ()), path)
    if castro.meta.jfactor_method is not None:
        raise ValueError(
            f"{path}: J has been treated before ({castro.meta.jfactor_method}); take the table of "
            "the likelihood at a fixed J."
        )
    castro = _on_grid(castro, params, path)
    castro.meta.target = target.name
    castro.meta.instrument = member["instrument"] or castro.meta.instrument
    _set_level(castro, params["cl"])
    _move_jfactor(castro, target, params["process"])
    castro.meta.prior = target.jfactor_prior(params["process"]) if member["has_width"] else None
    return castro, said or None


def _read_castro(params, files, member, path):
    """Table of one target and instrument as the file has it."""
    # a blank field is a file of its own in the place of that of the target
    if member["parts"] and member["file"] == member["task"]:
        parts = {label: files[name] for label, name in member["parts"].items()}
        return read_gloryduck_channels(
            parts, target=member["target"]["name"], instrument=member["instrument"] or "unknown",
            process=params["process"],
        )  # fmt: skip
    options = _table_options(params, member, path)
    return CastroMaps.read(path, format=member["format"], **options)


def _table_options(params, member, path):
    """What a table of text does not say itself."""
    format = member["format"] or identify_castro_format(path)
    if format == "lklcom":
        names = member["names"] or _names_in_file(params, member, path)
        return names | {"process": params["process"]}
    if format != "gloryduck":
        return {}
    options = {
        "target": member["target"]["name"], "instrument": member["instrument"] or None,
        "process": params["process"],
    }  # fmt: skip
    labels = [channel_label(channel) for channel in params["channels"]]
    word = path.name.partition("_")[0]
    try:
        options["channel"] = canonical_channel(word)
    except ValueError:
        if len(labels) > 1:
            raise ValueError(
                f"{path}: a Glory Duck table holds one channel; begin its name with it, as in "
                f"bb_{path.name}, and give the path of all with {{channel}}."
            ) from None
        options["channel"] = labels[0]
    if options["instrument"] is None:
        options["instrument"] = "unknown"
    return options


def _names_in_file(params, member, path):
    """Names in a file of lklcom that the configuration does not call so."""
    held = HeldTables(path)
    instrument = held.instruments[0] if len(held.instruments) == 1 else member["instrument"]
    labels = [channel_label(channel) for channel in params["channels"]]
    name = member["target"]["name"]
    found = held.choose(name, instrument, labels, alone=True)
    if found is None:
        raise ValueError(f"{path} does not hold {name}, only {', '.join(held.targets(None))}.")
    return found


def _set_level(castro, cl):
    """Limits at the confidence level of the analysis."""
    if castro.meta.cl == cl:
        return
    set_limits(castro, cl=cl)
    castro.meta.cl = cl


def set_limits(castro, **kwargs):
    """Put other limits in the place of a result's own, as `CastroMaps.upper_limit_and_status`."""
    limit, status = castro.upper_limit_and_status(**kwargs)
    castro["norm_ul"].data = limit.data / castro["reference"].data
    castro["status"].data = status.data


def _move_jfactor(castro, target, process):
    """Move a table to the J-factor of the analysis: the same flux is at another strength."""
    name = factor_name(process)
    wanted, assumed = getattr(target, name), castro.meta.log10_jfactor
    if assumed is None:
        castro.meta.notes = [
            *castro.meta.notes,
            f"{target.name}: the table does not say its J-factor, it is taken to be the target's, "
            f"{name} = {wanted:g}.",
        ]
    elif assumed != wanted:
        for quantity in ("reference", "reference_negative"):
            if quantity in castro.available_quantities:
                castro[quantity].data = castro[quantity].data * 10.0 ** (assumed - wanted)
        castro.meta.notes = [
            *castro.meta.notes,
            f"{target.name}: the table is for {name} = {assumed:g}, moved to {wanted:g}.",
        ]
    castro.meta.log10_jfactor = wanted


def _on_grid(castro, params, path):
    """Masses and channels of the analysis, which the table must hold."""
    wanted = [channel_label(channel) for channel in params["channels"]]
    missing = [label for label in wanted if label not in castro.channels]
    if missing:
        raise ValueError(
            f"{path}: no channel {', '.join(missing)} in the table, which has "
            f"{', '.join(castro.channels)}."
        )
    have = castro.masses.to_value("GeV")
    places = []
    for mass in params["masses"]:
        near = int(abs(have / mass - 1).argmin())
        if abs(have[near] / mass - 1) > 1e-6:
            raise ValueError(
                f"{path}: no mass {mass:g} GeV in the table, whose masses are "
                f"{', '.join(f'{m:g}' for m in have)} GeV; take masses from these."
            )
        places.append(near)
    channels = [castro.channels.index(label) for label in wanted]
    return castro.slice_by_idx({"mass": places, "channel": channels})


def castro_of(params, files, member, estimator):
    """`CastroMaps` of one target and instrument, J not treated, and whose the file says it is."""
    datasets, said = read_with_owner(params, files, member)
    if isinstance(datasets[0], CastroMaps):
        castro = datasets[0].copy()
    else:
        castro = estimator.run(datasets if len(datasets) > 1 else datasets[0])
        if isinstance(castro, list):
            raise ValueError(
                f"{files[member['file']]}: the datasets are about {len(castro)} sources, expected "
                f"those of {member['target']['name']} alone."
            )
        _note_jfactor(castro, Target.from_dict(member["target"]), params["process"])
    castro.meta.origin = member["shown"]
    castro.meta.instrument = member["instrument"] or castro.meta.instrument
    return castro, said


def _note_jfactor(castro, target, process):
    """Say so where a template on the sky brought a J of its own."""
    name = factor_name(process)
    table, used = getattr(target, name), castro.meta.log10_jfactor
    if abs(table - used) > SAME_JFACTOR:
        castro.meta.notes = [
            *castro.meta.notes,
            f"{target.name}: {name} = {used:.3f} is that of its shape on the sky, as far as the "
            f"map reaches; the table says {table:.3f}.",
        ]


def read_expectations(path, members, datasets):
    """`SEDExpectation` by dataset from a table with the columns target, background and npred.

    Parameters
    ----------
    path : `~pathlib.Path`
    members : list of dict
    datasets : list of `~gammapy.datasets.Dataset`
        Of each member; counts are passed over.
    """
    table = QTable.read(path)
    missing = {"target", "background", "npred"} - set(table.colnames)
    if missing:
        raise ValueError(f"{path}: no column {', '.join(sorted(missing))}.")
    found = {}
    for member, dataset in zip(members, datasets, strict=True):
        rows = np.asarray(table["target"] == member["target"]["name"])
        if "instrument" in table.colnames:
            known = member["instrument"], getattr(dataset, "instrument", None)
            rows &= np.isin(np.asarray(table["instrument"]), [name for name in known if name])
        if not isinstance(dataset, SEDLikelihoodDataset):
            continue  # counts expect what their models predict
        if not rows.any():
            raise ValueError(f"{path}: no rows of {describe_member(member)}.")
        _check_energies(table[rows], dataset, path)
        found[dataset.name] = SEDExpectation(table["background"][rows], table["npred"][rows])
    return found


def _check_energies(rows, dataset, path):
    """Check that rows are about the bins of a dataset, where the table says their energies."""
    if len(rows) != dataset.n_bins:
        raise ValueError(
            f"{path}: {len(rows)} rows of {dataset.name}, which has {dataset.n_bins} energy bins."
        )
    edges = dataset.energy_edges.to_value("GeV")
    for name, expected in (("e_min", edges[:-1]), ("e_max", edges[1:])):
        if name in rows.colnames:
            given = u.Quantity(rows[name]).to_value("GeV")
            if not np.allclose(given, expected, rtol=1e-3):
                k = int(np.argmax(~np.isclose(given, expected, rtol=1e-3)))
                raise ValueError(
                    f"{path}: {name} of {dataset.name}, bin {k}, is {given[k]:.5g} GeV, its file "
                    f"says {expected[k]:.5g} GeV; rows must be in the order of the bins."
                )
