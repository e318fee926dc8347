"""What the tasks of a pipeline do: from files to likelihoods, stacks, simulations.

Every function has the same signature, ``function(params, files, parents, folder)``, see
`dmgammapy.analysis._tasks.call_function`. The results depend on nothing else. Those about blank
fields are in `dmgammapy.analysis._blank_steps`, about limits in `dmgammapy.analysis._limit_steps`.
"""

import numpy as np
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap

from dmgammapy.datasets import SEDLikelihoodDataset, find_source
from dmgammapy.estimators import (
    CastroMaps,
    ExpectedLimitsEstimator,
    JFactorCovariance,
    LimitStatus,
)
from dmgammapy.makers import SimulatedDatasetMaker
from dmgammapy.makers._truth import source_factor

from ._data import (
    castro_of,
    make_estimator,
    make_stack,
    read_expectations,
    read_member,
    stack_options,
    write_castro,
)
from ._expectations import fit_backgrounds, note_few_counts, note_guessed_backgrounds
from ._step_tools import by_method, read_castros, write_table

__all__ = ["asimov", "castro", "collect", "simulate", "simulated_stack", "stack", "target"]


# ---- data ------------------------------------------------------------------------------------


def castro(params, files, parents, folder):
    """Likelihood of sigmav of one target and instrument, J not treated."""
    member = params["member"]
    result, said = castro_of(params, files, member, make_estimator(params, files))
    write_castro(result, folder / params["output"])
    return {
        "notes": list(result.meta.notes),
        "instrument": result.meta.instrument,
        "said": {member["file"]: said} if said else {},
    }


def target(params, files, parents, folder):
    """Likelihood of a target: instruments joined, J treated."""
    castros = read_castros(parents, "castro/")
    combined = make_stack(castros, params["jfactor"], params["cl"]).run()
    write_castro(combined, folder / params["output"])
    ts = combined["ts"].data
    return {"ts_max": float(np.nanmax(ts)) if np.isfinite(ts).any() else None}


def stack(params, files, parents, folder):
    """Likelihood of a roster, and the share of each target in its limits."""
    castros = read_castros(parents, "castro/")
    combined = make_stack(castros, params["jfactor"], params["cl"])
    result = combined.run()
    write_castro(result, folder / params["output"])
    write_table(combined.contributions, folder / params["contributions"])
    return {
        "notes": list(result.meta.notes),
        "targets": list(combined.targets),
        "limit_found": bool(np.isfinite(result.strength_ul.data).any()),
    }


# ---- simulations -----------------------------------------------------------------------------


def _present(params, parents):
    """Members whose likelihood could be made."""
    return [member for member in params["members"] if member["task"] in parents]


def _read_members(params, files, members):
    datasets, owners = [], []
    for member in members:
        read = read_member(params, files, member)
        datasets += read
        owners += [member] * len(read)
    return datasets, owners


def make_maker(params, files, datasets, members):
    """`SimulatedDatasetMaker` of a scenario."""
    scenario = params["scenario"]
    signal = scenario["injected"] or {}
    options = {}
    if signal:
        name = "sigmav" if params["process"] == "annihilation" else "gamma"
        unit = "cm3 s-1" if name == "sigmav" else "s-1"
        strength = signal["sigmav"] if name == "sigmav" else 1 / signal["tau"]
        options = {
            name: f"{strength!r} {unit}",
            "mass": f"{signal['mass']!r} GeV",
            "channel": signal["channel"],
        }
    if "expectations" in files:
        options["expectations"] = read_expectations(files["expectations"], members, datasets)
    if params["covariance"]:
        covariance = params["covariance"]
        covariance = JFactorCovariance.create((covariance["targets"], covariance["matrix"]))
        options["jfactor_covariance"] = covariance
    return SimulatedDatasetMaker(
        seed=scenario["seed"],
        redraw_jfactor=scenario["redraw_jfactor"],
        log10_jfactor=_true_jfactors(scenario["log10_jfactor"], datasets),
        undetermined=scenario["undetermined"],
        least_counts=scenario["least_counts"],
        **options,
    )


def _true_jfactors(given, datasets):
    """True J as the maker wants it: of all targets, if of any; others have the observed one."""
    if not isinstance(given, dict):
        return given
    observed = {}
    for dataset in datasets:
        name = find_source([dataset])
        model = next(model for model in dataset.models if model.name == name)
        observed[name] = source_factor(model)[0]
    return observed | given


def make_expected(params, files, parents, method="toys", limit_method=None):
    """`ExpectedLimitsEstimator`, the datasets it takes, and notes on what it expects."""
    members = _present(params, parents)
    datasets, owners = _read_members(params, files, members)
    castro = make_estimator(params, files)
    notes = fit_backgrounds(datasets, owners, castro.free_background)
    if "expectations" not in files:
        notes += note_guessed_backgrounds(datasets, owners, params["scenario"])
    maker = make_maker(params, files, datasets, owners)
    found = [(m["target"]["name"], _instrument(d)) for m, d in zip(owners, datasets, strict=True)]
    estimator = ExpectedLimitsEstimator(
        castro,
        maker,
        # as data: counts of an instrument are fitted together, instruments are stacked
        joint={d.name: m["task"] for m, d in zip(owners, datasets, strict=True)},
        method=method,
        limit_method=limit_method or params["limit_method"],
        stack=stack_options(params["jfactor"], found),
        quantiles=params.get("quantiles") or (0.5,),
        show_progress=False,
    )
    return estimator, datasets, notes


def _instrument(dataset):
    if isinstance(dataset, SEDLikelihoodDataset):
        return dataset.instrument
    table = dataset.meta_table
    return None if table is None or "TELESCOP" not in table.colnames else table["TELESCOP"][0]


def simulate(params, files, parents, folder):
    """Some realisations of a simulation of a roster."""
    estimator, datasets, notes = make_expected(params, files, parents)
    realisations = range(*params["realisations"])
    per_target = params["scenario"]["per_target"]
    results = estimator.simulate(datasets, realisations=realisations, per_target=per_target)
    if not per_target:
        results = {"stack": results}
    for result in results.values():
        result.meta.notes = [*result.meta.notes, *notes]
    for name, relative in params["outputs"].items():
        result = results.get(name)
        write_castro(
            _nothing_known(results["stack"], name) if result is None else result, folder / relative
        )
    return {"notes": notes}


def _nothing_known(like, name):
    """Ensemble of a target that is left out, since its likelihood could not be made."""
    ensemble = like.copy()
    for quantity in ("norm", "norm_ul", "ts"):
        ensemble[quantity].data = np.full_like(ensemble[quantity].data, np.nan)
    word = int(LimitStatus.NO_INFORMATION)
    ensemble["status"].data = np.full_like(ensemble["status"].data, word)
    ensemble.meta.target, ensemble.meta.contributors = name, {}
    ensemble.meta.notes = [f"{name} is left out: its likelihood could not be made."]
    return ensemble


def simulated_stack(params, files, parents, folder):
    """Stack of one realisation with its scans, which ensembles leave out."""
    estimator, datasets, notes = make_expected(params, files, parents)
    estimator.engine = "datasets"
    i = params["realisation"]
    engine, _ = estimator._engine(datasets, None, i + 1)
    result, method = engine.stack(i).run(), params["limit_method"]
    if method != "profile":
        # as in the ensemble: the reference has the J that this realisation has measured
        result = by_method(result, method, engine.asimov_stack(i).run())
    result.meta.notes = [*result.meta.notes, *notes]
    write_castro(result, folder / params["output"])


def join_realisations(parts):
    """Join ensembles along their axis ``realisation``."""
    first = parts[0]
    numbers = np.concatenate([p.geom.axes["realisation"].center.value for p in parts])
    axis = MapAxis.from_nodes(numbers, name="realisation", interp="lin")
    geom = RegionGeom(None, axes=[*first.geom.axes[:-1], axis])
    data = {
        name: RegionNDMap(
            geom, np.concatenate([p[name].data for p in parts]), unit=first[name].unit
        )
        for name in first.available_quantities
    }
    meta = first.meta.model_copy(deep=True)
    meta.origin = meta.origin.partition(" of ")[2]
    meta.origin = f"{len(numbers)} realisations of {meta.origin}"
    return CastroMaps(data, meta)


def collect(params, files, parents, folder):
    """All realisations of a simulation of a roster, and their quantiles."""
    for name, wanted in params["outputs"].items():
        castros = [
            CastroMaps.read(paths[params["parts"][key][name]]) for key, paths in parents.items()
        ]
        ensemble = join_realisations(castros) if len(castros) > 1 else castros[0]
        write_castro(ensemble, folder / wanted["ensemble"])
        write_castro(ensemble.quantiles(params["quantiles"]), folder / wanted["bands"])


def asimov(params, files, parents, folder):
    """Stack of the counts that are expected without a signal."""
    estimator, datasets, notes = make_expected(params, files, parents, "asimov", "profile")
    engine, expected = estimator._engine(datasets, None, 0)
    notes += note_few_counts(engine, estimator.castro.labels, estimator.castro.masses)
    result = expected.run()
    result.meta.notes = [*result.meta.notes, *notes]
    write_castro(result, folder / params["output"])
    return {"notes": notes}
