"""Read, in a worker, what a task says that it needs: spectra, models and datasets of members."""

import unicodedata
from functools import lru_cache

import astropy.units as u
from astropy.table import QTable
from gammapy.datasets import Datasets
from gammapy.modeling.models import Models

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.datasets.io import SED_FORMATS, identify_sed_format
from dmgammapy.estimators import CastroEstimator, CastroMaps, StackedDMLikelihood
from dmgammapy.makers import SEDExpectation
from dmgammapy.spectra import channel_label, read_spectra
from dmgammapy.targets import Halo, Target, Targets

from ._tasks import digest

__all__ = [
    "castro_of",
    "describe",
    "make_estimator",
    "make_stack",
    "read_expectations",
    "read_member",
    "write_castro",
]

CREATED = "see manifest.json"
SPECTRA = "spectra"
CACHED = 512


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
    return StackedDMLikelihood(castros, cl=cl, show_progress=False, **stack_options(jfactor))


def stack_options(jfactor):
    """Options of a stack with one of the J treatments."""
    options = {"method": jfactor["method"]}
    if jfactor["method"] != "fixed":
        if jfactor.get("extra_widths"):
            options["extra_widths"] = jfactor["extra_widths"]
        if jfactor.get("covariance"):
            covariance = jfactor["covariance"]
            options["jfactor_covariance"] = (covariance["targets"], covariance["matrix"])
    return options


def read_member(params, files, member):
    """Datasets of one target and instrument with their models.

    Parameters
    ----------
    params : dict
        Of the analysis.
    files : dict of `~pathlib.Path`
    member : dict
        ``target``, ``instrument``, ``format``, ``spatial``, ``file`` and, for counts, ``models``:
        names of entries of ``files``.

    Returns
    -------
    datasets : list of `~gammapy.datasets.Dataset` or `CastroMaps`
        A table of likelihoods is given as it is.
    """
    path = files[member["file"]]
    stat = path.stat()
    names = [name for name in (SPECTRA, member.get("models")) if name in files]
    text = digest([{n: params[n] for n in NEEDED}, member, {n: str(files[n]) for n in names}])
    return _read_member(_Request(text, path, stat.st_size, stat.st_mtime_ns, params, files, member))


NEEDED = ("spectra", "process", "channels", "masses", "norm_type", "interpolation", "known")


class _Request:
    """What is read, comparable by its content: each worker reads a file once."""

    def __init__(self, text, path, size, time, params, files, member):
        self.key = text, str(path), size, time
        self.path, self.params, self.files, self.member = path, params, files, member

    def __hash__(self):
        return hash(self.key)

    def __eq__(self, other):
        return self.key == other.key


@lru_cache(maxsize=CACHED)
def _read_member(request):
    params, member, path = request.params, request.member, request.path
    kind = member["kind"]
    if kind is None:
        kind = "sed" if _is_sed(path) else "castro"
    if kind == "sed":
        return [_read_sed(params, request.files, member, path)]
    if kind == "castro":
        return [_read_table(params, member, path)]
    return _read_counts(params, request.files, member, path)


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
    _check_owner(dataset.name, target.name, params["known"], path)
    # random numbers go by this name: the same for all profiles of a target
    dataset._name = describe(target.name, member["instrument"])
    dataset.models = make_models(params, files, member)
    return dataset


def describe(target, instrument):
    """Name of a dataset: ``draco`` or ``draco magic``."""
    return f"{target} {instrument}" if instrument else target


def make_models(params, files, member):
    """Dark matter models of a member; mass and channel don't matter."""
    target = Target.from_dict(member["target"])
    spatial = member["spatial"]
    if spatial != "point":
        spatial = Halo.from_target(target).to_spatial_model(process=params["process"])
    return target.to_models(
        mass=params["masses"][-1] * u.GeV,
        channel=params["channels"][0],
        process=params["process"],
        spectra=scan_spectra(params, files),
        spatial=spatial,
    )


def _check_owner(said, name, known, path):
    """Refuse a file that says that it is of another target."""
    names = {_letters(other): other for other in (*Targets.bundled().names, *known)}
    owner = names.get(_letters(said))
    if owner is not None and _letters(owner) != _letters(name):
        raise ValueError(f"{path}: the file says that it is of {owner}, not of {name}.")


def _letters(name):
    """Letters and digits of a name: "Ursa Major II" is ursa_major_II."""
    plain = unicodedata.normalize("NFKD", name).lower()
    return "".join(c for c in plain if c.isascii() and c.isalnum())


def _read_counts(params, files, member, path):
    datasets = Datasets.read(path)
    others = []
    if member.get("models"):
        others = list(Models.read(files[member["models"]]))
    for dataset in datasets:
        own = list(dataset.models or ()) if not others else others
        dataset.models = [*own, *make_models(params, files, member)]
    return list(datasets)


def _read_table(params, member, path):
    castro = CastroMaps.read(path, format=member["format"])
    if castro.process != params["process"]:
        raise ValueError(
            f"{path} is about {castro.process}, the analysis about {params['process']}."
        )
    target = Target.from_dict(member["target"])
    if castro.meta.target:
        _check_owner(castro.meta.target, target.name, params["known"], path)
    castro = _on_grid(castro, params, path)
    castro.meta.target = target.name
    castro.meta.instrument = member["instrument"] or castro.meta.instrument
    if castro.meta.jfactor_method is not None:
        raise ValueError(
            f"{path}: J has been treated before ({castro.meta.jfactor_method}); take the table of "
            "the likelihood at a fixed J."
        )
    # moves the table to the J-factor of the analysis
    castro.meta.prior = target.jfactor_prior(params["process"]) if member["has_width"] else None
    return castro


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
    """`CastroMaps` of one target and instrument, J not treated."""
    datasets = read_member(params, files, member)
    if isinstance(datasets[0], CastroMaps):
        castro = datasets[0].copy()
    else:
        castro = estimator.run(datasets if len(datasets) > 1 else datasets[0])
        if isinstance(castro, list):
            raise ValueError(
                f"{files[member['file']]}: the datasets are about {len(castro)} sources, expected "
                f"those of {member['target']['name']} alone."
            )
    castro.meta.origin = member["shown"]
    return castro


def read_expectations(path, members, datasets):
    """`SEDExpectation` by dataset from a table with the columns target, background and npred.

    Parameters
    ----------
    path : `~pathlib.Path`
    members : list of dict
    datasets : list of `~dmgammapy.datasets.SEDLikelihoodDataset`
    """
    table = QTable.read(path)
    missing = {"target", "background", "npred"} - set(table.colnames)
    if missing:
        raise ValueError(f"{path}: no column {', '.join(sorted(missing))}.")
    found = {}
    for member, dataset in zip(members, datasets, strict=True):
        rows = table["target"] == member["target"]["name"]
        if "instrument" in table.colnames:
            rows &= table["instrument"] == member["instrument"]
        if not rows.any():
            raise ValueError(f"{path}: no rows of {describe_member(member)}.")
        found[dataset.name] = SEDExpectation(table["background"][rows], table["npred"][rows])
    return found


def describe_member(member):
    return describe(member["target"]["name"], member["instrument"])
