"""Tables of a report about photons and the regions around targets."""

import numpy as np

from ._report_tables import Column, ReportTable, format_value

__all__ = ["region_links", "region_tables"]

MOST_SOURCES = 15  # of each region
HOUR = 3600.0  # seconds
SOURCES = {
    "name": Column("source"),
    "ts": Column(
        "TS", description="By how much −2 ln L is worse without this source.", format=".2f"
    ),
    "norm": Column(
        "norm", description="What scales the source: a flux density, or a factor.", format=".3g"
    ),
    "norm_err": Column(
        "±", description="Its error; none where it was not fitted or is at its bound.", format=".2g"
    ),
    "unit": Column("unit"),
    "npred": Column("counts", description="Predicted, in all datasets and energies.", format=".1f"),
    "separation": Column(
        "separation", "deg", "From the centre of the region; none of what shines everywhere.", ".2f"
    ),
    "free": Column(
        "fitted", description="yes: free in the last fit and in the fits of the signal. no: fixed."
    ),
}  # fmt: skip
DATASETS = [
    Column("dataset"),
    Column("events", description="Selected, in pixels and energy bins that are used."),
    Column("energies", "GeV"),
    Column("days", description="First and last, UTC."),
    Column("good time", "h", "Sum of the good time intervals.", ".4g"),
    Column("livetime", "h", "Time for which the target was seen, dead time taken off.", ".4g"),
    Column("IRFs", description="Response functions."),
    Column("types", description="Event types."),
    Column("zenith", "deg", "Largest zenith angle of events.", "g"),
    Column("pixels"),
    Column("masked", description="Pixels that are used at no energy."),
]


def region_tables(inputs):
    """Tables of the sources of all regions, and of what was reduced.

    Parameters
    ----------
    inputs : `~dmgammapy.analysis._report_content.ReportInputs`

    Returns
    -------
    tables : list of `ReportTable`
    """
    regions = inputs.regions
    if not regions:
        return []
    return [table for table in (_sources(regions), _datasets(regions)) if table is not None]


def region_links(inputs):
    """Files of the sources of each region, ``(label, path)``."""
    regions = inputs.regions
    return [
        (f"Sources of {_about(region)} (ECSV)", region["file"])
        for region in regions
        if region.get("table") is not None
    ]


def _about(region):
    return ", ".join(part for part in (region["target"], region.get("instrument")) if part)


def _leading(regions):
    """Columns that tell regions apart, with the values of each."""
    found = []
    for name in ("target", "instrument"):
        values = [region.get(name) or "" for region in regions]
        if len(set(values)) > 1:
            found.append((Column(name), values))
    return found


def _sources(regions):
    """The most significant sources of each region."""
    leading, rows, hidden = _leading(regions), [], 0
    for k, region in enumerate(regions):
        table = region.get("table")
        if table is None:
            continue
        for row in table[:MOST_SOURCES]:
            rows.append([*(values[k] for _, values in leading), *(_cell(row, n) for n in SOURCES)])
        hidden += max(len(table) - MOST_SOURCES, 0)
    if not rows:
        return None
    note = ""
    if hidden:
        each = "" if len(regions) == 1 else " of each region"
        note = (
            f"The {MOST_SOURCES} most significant{each}; {hidden} more are in the files above, "
            "with what the catalogs say."
        )
    columns = [*(column for column, _ in leading), *SOURCES.values()]
    return ReportTable("Sources", columns, rows, note, "not fitted, at its bound, or not known")


def _cell(row, name):
    value = getattr(row[name], "value", row[name])
    if value is np.ma.masked:
        return None
    if name == "unit":
        value = str(value).replace("1 / (MeV s cm2)", "cm⁻² s⁻¹ MeV⁻¹")
    if name in ("name", "unit"):
        return str(value).replace(" ", "\u00a0") or None  # in one line
    return value.item() if isinstance(value, np.generic) else value


def _datasets(regions):
    """What was selected and reduced, a row for each dataset."""
    leading, rows = _leading(regions), []
    for k, region in enumerate(regions):
        first = [values[k] for _, values in leading]
        rows += [[*first, *_facts(dataset)] for dataset in region.get("datasets", ())]
    if not rows:
        return None
    columns = [*(column for column, _ in leading), *DATASETS]
    used = [k for k in range(len(columns)) if any(row[k] is not None for row in rows)]
    return ReportTable(
        "Events and reduction", [columns[k] for k in used], [[r[k] for k in used] for r in rows],
        missing="not known",
    )  # fmt: skip


def _facts(dataset):
    low, high = (format_value(energy) for energy in dataset["energy"])
    hours = [dataset[n] / HOUR if n in dataset else None for n in ("good_time", "livetime")]
    return [
        dataset["name"],
        round(dataset["events"]),
        f"{low} to {high}",
        " to ".join(dict.fromkeys(dataset.get("dates", ()))).replace("-", "\u2011") or None,
        *hours,
        dataset.get("irfs"),
        dataset.get("event_type", "").upper() or None,
        dataset.get("zenith_max"),
        dataset["pixels"],
        dataset["masked"],
    ]
