"""What the tasks about limits do, see `dmgammapy.analysis._steps`."""

import numpy as np
from astropy.table import MaskedColumn, QTable, vstack
from astropy.utils.masked import Masked

from dmgammapy.estimators import CastroMaps, LimitStatus, SignificanceEstimator

from ._data import write_castro
from ._limit_methods import method_name, relevant_notes
from ._step_tools import by_method, one_path, write_table

__all__ = ["bands", "limits", "limits_of_all", "significance"]


def bands(params, files, parents, folder):
    """Expected limits of a roster: quantiles of simulations, or asymptotic."""
    source = CastroMaps.read(parents[params["source"]][params["relative"]])
    if params["method"] == "toys":
        expected = source.quantiles(params["quantiles"])
    else:
        expected = source.expected_limits(params["quantiles"], params["limit_method"])
    write_castro(expected, folder / params["output"])


def limits(params, files, parents, folder):
    """Limits of a roster by the main method, and the table of those of all methods and targets."""
    main = params["methods"][0]
    stack = CastroMaps.read(parents[params["stack"]][params["relative"]])
    expected = None
    if params["asimov"] in parents:
        expected = CastroMaps.read(one_path(parents[params["asimov"]]))
    combined = by_method(stack, main, expected)
    write_castro(combined, folder / params["castro"])
    others = [name for name in dict.fromkeys([*params["methods"], "profile"]) if name != main]
    lost = [name for name in others if name != "profile" and expected is None]
    others = {name: None if name in lost else by_method(stack, name, expected) for name in others}
    rows = [_limit_rows("combined", combined, main, others)]
    for name, label in params["labels"].items():
        if name in parents:
            part = CastroMaps.read(one_path(parents[name]))
            rows.append(_limit_rows(label, part, "profile"))
    table = vstack(rows)
    table.add_column([params["roster"]] * len(table), index=0, name="roster")
    table.add_column([params["jfactor"]["method"]] * len(table), index=1, name="jfactor")
    meta, notes = combined.meta, []
    if lost:
        notes = [
            f"roster {params['roster']}, J {params['jfactor']['method']}: no limits by "
            f"{', '.join(method_name(name) for name in lost)}, as the expected counts could not be "
            f"made (task {params['asimov']})."
        ]
    labels = params["labels"].items()
    table.meta.update(
        process=meta.process, spectra=meta.spectra, cl=meta.cl,
        notes=[*relevant_notes(meta.notes), *notes], creator=meta.creator, limit_method=main,
        targets={params["roster"]: [label for name, label in labels if name in parents]},
        lost={params["roster"]: [label for name, label in labels if name not in parents]},
    )  # fmt: skip
    write_table(table, folder / params["output"])
    return {"notes": notes}


def _limit_rows(name, castro, method, others=None):
    """Rows of a result by one method, with the limits of others beside it."""
    table = castro.to_table()
    table.meta.clear()
    for other, result in (others or {}).items():
        column = f"{castro.strength_name}_ul_{other}"
        if result is None:
            _add_masked(table, column, castro.strength_ul.unit, other)
            continue
        table[column] = result.strength_ul.quantity.ravel()
        table[f"status_{other}"] = [
            LimitStatus(int(word)).name.lower() for word in result["status"].data.ravel()
        ]
        if castro.process == "decay":
            with np.errstate(divide="ignore"):
                table[f"tau_ll_{other}"] = 1 / table[column]
    table.add_column([name] * len(table), index=0, name="target")
    table.add_column([method] * len(table), index=1, name="method")
    return table


def _add_masked(table, column, unit, method):
    """Columns of a method whose limits could not be made."""
    n = len(table)
    nothing = Masked(np.full(n, np.nan), mask=True)
    table[column] = nothing * unit
    table[f"status_{method}"] = MaskedColumn([""] * n, mask=True)
    if column.startswith("gamma"):
        table[f"tau_ll_{method}"] = nothing * (1 / unit).unit


def limits_of_all(params, files, parents, folder):
    """Limits of all rosters and J treatments in one table."""
    tables = [QTable.read(paths[params["tables"][name]]) for name, paths in parents.items()]
    notes = [note for table in tables for note in table.meta.pop("notes", [])]
    merged = {"targets": {}, "lost": {}}
    for table in tables:  # of a roster in several J treatments
        for name, rosters in merged.items():
            for roster, labels in table.meta.pop(name).items():
                rosters[roster] = list(dict.fromkeys([*rosters.get(roster, []), *labels]))
    meta = dict(tables[0].meta) | merged
    table = vstack(tables, metadata_conflicts="silent")
    table.meta.clear()
    table.meta.update(meta, notes=list(dict.fromkeys(notes)), skipped=params["skipped"])
    write_table(table, folder / params["output"])


def significance(params, files, parents, folder):
    """Local and global significance of the largest TS of a roster."""
    observed = CastroMaps.read(parents[params["stack"]][params["relative"]])
    ensemble = CastroMaps.read(parents[params["simulation"]][params["ensemble"]])
    write_table(SignificanceEstimator().run(observed, ensemble), folder / params["output"])
