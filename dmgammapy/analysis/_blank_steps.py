"""What the tasks about blank fields do, see `dmgammapy.analysis._steps`."""

import numpy as np
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap

from dmgammapy.estimators import CastroMaps
from dmgammapy.makers import BlankFieldMaker, move_source

from ._data import castro_of, make_estimator, make_stack, read_member, write_castro
from ._files import common_fields, say_left_out
from ._step_tools import by_method, one_path

__all__ = ["as_ensemble", "blank_castros", "blank_stack", "blank_stacks"]


def blank_castros(params, files, parents, folder):
    """Likelihood of sigmav at the blank fields of one target and instrument."""
    estimator = make_estimator(params, files)
    member, said = params["member"], {}
    outputs = params["outputs"]
    if params["fields"] is None:
        castros = _moved_castros(params, files, member, estimator, len(outputs))
    else:
        castros = []
        for name in params["fields"]:
            field = member | params["described"] | {"file": name, "shown": params["shown"][name]}
            result, owner = castro_of(params, files, field, estimator)
            castros.append(result)
            said |= {name: owner} if owner else {}
    for result, relative in zip(castros, outputs, strict=True):
        write_castro(result, folder / relative)
    notes = sorted({note for result in castros for note in result.meta.notes})
    return {"notes": notes, "said": said}


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
    """Stacks of the blank fields with the same number of all targets."""
    blank, notes = _blank_files(params, parents)
    asimov = _asimov(params, parents)
    ensemble = as_ensemble([_stack_of_field(paths, params, asimov) for paths in blank])
    ensemble.meta.origin = f"{len(blank)} blank fields of each target"
    ensemble.meta.notes = [*ensemble.meta.notes, *notes]
    write_castro(ensemble, folder / params["output"])
    write_castro(ensemble.quantiles(params["quantiles"]), folder / params["bands"])
    return {"notes": notes}


def _blank_files(params, parents):
    """Paths of each blank field of the targets that the stack of the data holds, and notes."""
    blank = {name: paths for name, paths in parents.items() if name.startswith("blank/")}
    seen = [name for name in parents if name.startswith("castro/")]
    notes = []
    if seen:
        blank = {name: p for name, p in blank.items() if name.removeprefix("blank/") in seen}
        lost = [name for name in seen if f"blank/{name}" not in blank]
        if lost:
            notes.append(f"the blank fields have no {', '.join(lost)}, which the data have.")
    if not blank:
        raise ValueError("there are no blank fields of targets whose likelihood could be made.")
    fields = {}
    for name, paths in blank.items():
        given = params["fields"][name]
        # JSON has no numbers as keys
        fields[name] = {int(k): paths[path] for k, path in given} if given else [*paths.values()]
    common, left_out = common_fields(fields, params["n"])
    if not common:
        raise ValueError(
            "no number of a blank field is there for all targets; give the files of the same "
            "field the same number."
        )
    return common, notes + say_left_out(left_out)


def _asimov(params, parents):
    """Stack of the expected counts, which limits of all methods but profile refer to."""
    return CastroMaps.read(one_path(parents[params["asimov"]])) if params["asimov"] else None


def _stack_of_field(paths, params, asimov):
    castros = [CastroMaps.read(path) for path in paths.values()]
    result = make_stack(castros, params["jfactor"], params["cl"]).run()
    return by_method(result, params["limit_method"], asimov)


def blank_stack(params, files, parents, folder):
    """Stack of one blank field of each target with its scans."""
    blank, asimov = _blank_files(params, parents)[0], _asimov(params, parents)
    if params["realisation"] >= len(blank):
        raise ValueError(f"there are {len(blank)} blank fields without what could not be made.")
    result = _stack_of_field(blank[params["realisation"]], params, asimov)
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
