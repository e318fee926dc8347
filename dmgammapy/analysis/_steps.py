"""What the tasks of a pipeline do: from files to likelihoods, stacks, bands, limits.

Every function has the same signature, ``function(params, files, parents, folder)``, see
`dmgammapy.analysis._tasks.call_function`. The results depend on nothing else.
"""

import numpy as np
from astropy.table import QTable, vstack
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import (
    CastroMaps,
    ExpectedLimitsEstimator,
    LimitStatus,
    SignificanceEstimator,
)
from dmgammapy.makers import BlankFieldMaker, SimulatedDatasetMaker, move_source

from ._data import (
    castro_of,
    make_estimator,
    make_stack,
    read_expectations,
    read_member,
    stack_options,
    write_castro,
)

__all__ = [
    "asimov",
    "bands",
    "blank_castros",
    "blank_stack",
    "blank_stacks",
    "castro",
    "collect",
    "limits",
    "limits_of_all",
    "significance",
    "simulate",
    "simulated_stack",
    "stack",
    "target",
]


def write_table(table, path):
    """Write a table as ECSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write(path, format="ascii.ecsv")


def one_path(paths):
    """The only file of a parent."""
    (path,) = paths.values()
    return path


def read_castros(parents, prefix):
    """Castro results of the parents whose name begins so, in their order."""
    return [
        CastroMaps.read(one_path(paths))
        for name, paths in parents.items()
        if name.startswith(prefix)
    ]


# ---- data ------------------------------------------------------------------------------------


def castro(params, files, parents, folder):
    """Likelihood of sigmav of one target and instrument, J not treated."""
    result = castro_of(params, files, params["member"], make_estimator(params, files))
    write_castro(result, folder / params["output"])
    return {"notes": list(result.meta.notes), "instrument": result.meta.instrument}


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


# ---- simulations and controls ----------------------------------------------------------------


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
    return SimulatedDatasetMaker(
        seed=scenario["seed"],
        redraw_jfactor=scenario["redraw_jfactor"],
        log10_jfactor=scenario["log10_jfactor"],
        undetermined=scenario["undetermined"],
        least_counts=scenario["least_counts"],
        **options,
    )


def make_expected(params, files, parents, method="toys", limit_method=None):
    """`ExpectedLimitsEstimator` and the datasets it takes."""
    members = _present(params, parents)
    datasets, owners = _read_members(params, files, members)
    maker = make_maker(params, files, datasets, owners)
    found = [(m["target"]["name"], _instrument(d)) for m, d in zip(owners, datasets, strict=True)]
    estimator = ExpectedLimitsEstimator(
        make_estimator(params, files),
        maker,
        # as data: counts of an instrument are fitted together, instruments are stacked
        joint={d.name: m["task"] for m, d in zip(owners, datasets, strict=True)},
        method=method,
        limit_method=limit_method or params["limit_method"],
        stack=stack_options(params["jfactor"], found),
        quantiles=params.get("quantiles") or (0.5,),
        show_progress=False,
    )
    return estimator, datasets


def _instrument(dataset):
    if isinstance(dataset, SEDLikelihoodDataset):
        return dataset.instrument
    table = dataset.meta_table
    return None if table is None or "TELESCOP" not in table.colnames else table["TELESCOP"][0]


def simulate(params, files, parents, folder):
    """Some realisations of a simulation of a roster."""
    estimator, datasets = make_expected(params, files, parents)
    realisations = range(*params["realisations"])
    per_target = params["scenario"]["per_target"]
    results = estimator.simulate(datasets, realisations=realisations, per_target=per_target)
    if not per_target:
        results = {"stack": results}
    for name, relative in params["outputs"].items():
        result = results.get(name)
        write_castro(
            _nothing_known(results["stack"], name) if result is None else result, folder / relative
        )


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
    estimator, datasets = make_expected(params, files, parents)
    estimator.engine = "datasets"
    i = params["realisation"]
    write_castro(
        estimator._engine(datasets, None, i + 1)[0].stack(i).run(), folder / params["output"]
    )


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


def blank_castros(params, files, parents, folder):
    """Likelihood of sigmav at the blank fields of one target and instrument."""
    estimator = make_estimator(params, files)
    member = params["member"]
    outputs = params["outputs"]
    if params["fields"] is None:
        castros = _moved_castros(params, files, member, estimator, len(outputs))
    else:
        castros = []
        for name in params["fields"]:
            field = member | {"file": name, "shown": params["shown"][name]}
            castros.append(castro_of(params, files, field, estimator))
    for result, relative in zip(castros, outputs, strict=True):
        write_castro(result, folder / relative)
    return {"notes": sorted({note for result in castros for note in result.meta.notes})}


def _moved_castros(params, files, member, estimator, n_fields):
    """Counts with the source moved to positions nearby."""
    from dmgammapy.targets import Target

    datasets = read_member(params, files, member)
    options = params["positions"]
    maker = BlankFieldMaker(
        n_fields=n_fields,
        seed=options["seed"],
        method=options["method"],
        region=datasets[0].counts.geom.to_image(),
        offset_min=options["offset_min"],
        offset_max=options["offset_max"],
        separation=options["separation"],
    )
    fields = maker.run(Target.from_dict(member["target"]))
    castros = estimator.run(move_source(datasets, fields))
    castros = castros if isinstance(castros, list) else [castros]
    for result, field in zip(castros, fields, strict=True):
        result.meta.target = member["target"]["name"]
        result.meta.origin = f"{member['shown']}, source at {field.position.to_string('decimal')}"
    return castros


def blank_stacks(params, files, parents, folder):
    """Stacks of the first blank field of all targets, of the second of all, ..."""
    blank, notes = _blank_files(parents)
    n = min(len(paths) for paths in blank.values())
    unequal = {name: len(paths) for name, paths in blank.items() if len(paths) != n}
    if unequal:
        notes.append(f"{n} blank fields are used, the fewest of any target; more are of {unequal}.")
    ensemble = as_ensemble([_stack_of_field(blank, i, params) for i in range(n)])
    ensemble.meta.origin = f"{n} blank fields of each target"
    ensemble.meta.notes = [*ensemble.meta.notes, *notes]
    write_castro(ensemble, folder / params["output"])
    write_castro(ensemble.quantiles(params["quantiles"]), folder / params["bands"])
    return {"notes": notes}


def _blank_files(parents):
    """Blank fields of the targets that the stack of the data holds, and notes on others."""
    blank = {
        name: list(paths.values()) for name, paths in parents.items() if name.startswith("blank/")
    }
    seen = [name for name in parents if name.startswith("castro/")]
    notes = []
    if seen:
        blank = {name: p for name, p in blank.items() if name.removeprefix("blank/") in seen}
        lost = [name for name in seen if f"blank/{name}" not in blank]
        if lost:
            notes.append(f"the blank fields have no {', '.join(lost)}, which the data have.")
    if not blank:
        raise ValueError("there are no blank fields of targets whose likelihood could be made.")
    return blank, notes


def _stack_of_field(blank, i, params):
    castros = [CastroMaps.read(paths[i]) for paths in blank.values()]
    return make_stack(castros, params["jfactor"], params["cl"]).run()


def blank_stack(params, files, parents, folder):
    """Stack of one blank field of each target with its scans."""
    result = _stack_of_field(_blank_files(parents)[0], params["realisation"], params)
    write_castro(result, folder / params["output"])


def as_ensemble(results):
    """Stacks as one `CastroMaps` with the axis ``realisation``, without their scans."""
    axis = MapAxis.from_nodes(np.arange(len(results)), name="realisation", interp="lin")
    first = results[0]
    geom = RegionGeom(None, axes=[*first.geom.axes, axis])
    reference = first["reference"].data
    data = {
        "reference": RegionNDMap(
            geom, np.broadcast_to(reference, geom.data_shape).copy(), unit=first["reference"].unit
        )
    }
    for name, quantity in (("norm", "strength"), ("norm_ul", "strength_ul")):
        values = np.stack([getattr(result, quantity).data for result in results])
        data[name] = RegionNDMap(geom, values / reference)
    for name in ("ts", "status"):
        data[name] = RegionNDMap(geom, np.stack([result[name].data for result in results]))
    return CastroMaps(data, first.meta.model_copy(deep=True))


# ---- limits ----------------------------------------------------------------------------------


def asimov(params, files, parents, folder):
    """Stack of the counts that are expected without a signal."""
    estimator, datasets = make_expected(params, files, parents, "asimov", "profile")
    write_castro(estimator.asimov(datasets), folder / params["output"])


def bands(params, files, parents, folder):
    """Expected limits of a roster: quantiles of simulations, or asymptotic."""
    source = CastroMaps.read(parents[params["source"]][params["relative"]])
    if params["method"] == "toys":
        expected = source.quantiles(params["quantiles"])
    else:
        expected = source.expected_limits(params["quantiles"], params["limit_method"])
    write_castro(expected, folder / params["output"])


def limits(params, files, parents, folder):
    """Table of the limits of a roster and of each of its targets."""
    combined = CastroMaps.read(parents[params["stack"]][params["relative"]])
    expected = None
    if params["asimov"]:
        expected = CastroMaps.read(one_path(parents[params["asimov"]]))
    rows = [_limit_rows("combined", combined, params["methods"], expected)]
    for name, paths in parents.items():
        if name.startswith("target/"):
            part = CastroMaps.read(one_path(paths))
            rows.append(_limit_rows(params["labels"][name], part, ["profile"]))
    table = vstack(rows)
    table.add_column([params["roster"]] * len(table), index=0, name="roster")
    table.add_column([params["jfactor"]["method"]] * len(table), index=1, name="jfactor")
    meta = combined.meta
    table.meta.update(
        process=meta.process, spectra=meta.spectra, cl=meta.cl, notes=list(meta.notes),
        creator=meta.creator,
    )  # fmt: skip
    write_table(table, folder / params["output"])


def _limit_rows(name, castro, methods, asimov=None):
    table = castro.to_table()
    table.meta.clear()
    for method in methods:
        if method != "profile":
            limit, status = castro.upper_limit_and_status(method=method, asimov=asimov)
            column = f"{castro.strength_name}_ul_{method}"
            table[column] = limit.quantity.ravel()
            table[f"status_{method}"] = [
                LimitStatus(int(word)).name.lower() for word in status.data.ravel()
            ]
            if castro.process == "decay":
                with np.errstate(divide="ignore"):
                    table[f"tau_ll_{method}"] = 1 / table[column]
    table.add_column([name] * len(table), index=0, name="target")
    return table


def limits_of_all(params, files, parents, folder):
    """Limits of all rosters and J treatments in one table."""
    tables = [QTable.read(one_path(paths)) for paths in parents.values()]
    notes = [note for table in tables for note in table.meta.pop("notes", [])]
    meta = dict(tables[0].meta)
    table = vstack(tables, metadata_conflicts="silent")
    table.meta.clear()
    table.meta.update(meta, notes=list(dict.fromkeys(notes)), skipped=params["skipped"])
    write_table(table, folder / params["output"])


def significance(params, files, parents, folder):
    """Local and global significance of the largest TS of a roster."""
    observed = CastroMaps.read(parents[params["stack"]][params["relative"]])
    ensemble = CastroMaps.read(parents[params["simulation"]][params["ensemble"]])
    write_table(SignificanceEstimator().run(observed, ensemble), folder / params["output"])
