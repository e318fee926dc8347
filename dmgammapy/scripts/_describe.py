"""What `dmgammapy info` tells about a file: lines of (key, value)."""

from ._files import read, recognise

__all__ = ["describe"]

N_SHOWN = 12


def describe(path):
    """Describe a file or a folder of results.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    lines : list of (str, str)
    """
    found = recognise(path)
    lines = [("file", str(found.path)), ("holds", found.text)]
    return lines + _DESCRIBERS[found.kind](found)


def _listed(items, n=N_SHOWN):
    items = [str(item) for item in items]
    more = f" ... ({len(items)})" if len(items) > n else ""
    return ", ".join(items[:n]) + more if items else "none"


def _range(values, unit):
    values = values.to_value(unit)
    if len(values) == 1:
        return f"{values[0]:.6g} {unit}"
    return f"{len(values)}, {min(values):.6g} to {max(values):.6g} {unit}"


def _notes(notes):
    return [("note", note) for note in notes] or [("notes", "none")]


def _castro(found):
    if found.format == "lklcom":
        lines = _lklcom(found)
        if lines is not None:
            return lines
    return castro_lines(read(found))


def _lklcom(found):
    """Names in a file with several tables; None if it holds one."""
    from dmgammapy.estimators.io import list_lklcom_tables

    names = list_lklcom_tables(found.path)
    levels = [list(dict.fromkeys(n[i] for n in names)) for i in range(4)]
    if all(len(level) == 1 for level in levels):
        return None
    keys = ("instruments", "targets", "channels", "datasets")
    lines = [(key, _listed(level)) for key, level in zip(keys, levels, strict=True)]
    return [*lines, ("tables", str(len(names)))]


def castro_lines(castro):
    """Lines about a `CastroMaps`."""
    import numpy as np

    from dmgammapy.estimators import LimitStatus

    meta = castro.meta
    lines = [("target", meta.about), ("process", meta.process)]
    if meta.instrument:
        lines.append(("instrument", meta.instrument))
    lines.append(("channels", _listed(castro.channels)))
    lines.append(("masses", _range(castro.masses, "GeV")))
    for axis in castro.geom.axes:
        if axis.name not in ("mass", "channel"):
            lines.append((axis.name, str(axis.nbin)))
    if meta.log10_jfactor is not None:
        name = "log10 J" if meta.process == "annihilation" else "log10 D"
        unit = "GeV2 cm-5" if meta.process == "annihilation" else "GeV cm-2"
        prior = meta.prior
        width = "" if prior is None else f", width {prior.err_low:g} to {prior.err_high:g} dex"
        lines.append((name, f"{meta.log10_jfactor:g} [{unit}]{width}"))
    lines.append(("J treatment", meta.jfactor_method or "none yet"))
    if meta.contributors:
        lines.append(("stack of", _listed(meta.contributors)))
    for key in ("spectra", "norm_type", "interpolation"):
        if getattr(meta, key):
            lines.append((key, getattr(meta, key)))
    lines.append(("likelihood", "yes" if "stat_scan" in castro.available_quantities else
                  "no, limits and estimates only"))  # fmt: skip
    if "status" in castro.available_quantities:
        values, counts = np.unique(castro["status"].data, return_counts=True)
        text = ", ".join(
            f"{n} {LimitStatus(int(v)).name.lower()}" for v, n in zip(values, counts, strict=True)
        )
        lines.append((f"limits at {meta.cl:g}", text))
    if meta.origin:
        lines.append(("origin", meta.origin))
    return [*lines, ("creator", f"{meta.creator}, {meta.created}"), *_notes(meta.notes)]


def _sed(found):
    if found.format == "fermipy-castro":
        from dmgammapy.datasets.io import castro_rows

        rows = castro_rows(found.path)
        if len(rows) > 1:
            return [("rows", str(len(rows))), ("targets", _listed(rows["target"]))]
    dataset = read(found)
    lines = [("name", dataset.name), ("instrument", dataset.instrument or "unknown")]
    edges = dataset.energy_edges.to_value("GeV")
    lines.append(("energy bins", f"{dataset.n_bins}, {edges[0]:.4g} to {edges[-1]:.4g} GeV"))
    lines.append(("scan", f"{dataset.norm_scan.shape[1]} points a bin, in units of "
                  f"{dataset.norm_type}"))  # fmt: skip
    lines.append(("interpolation", dataset.interpolation))
    masked = dataset.n_bins - int(dataset.mask.sum()) if dataset.mask is not None else 0
    lines.append(("masked bins", str(masked)))
    return lines


def _cube(found):
    cube = read(found)
    geom = cube.geom.to_image()
    center = geom.center_skydir.icrs
    return [
        ("pixels", f"{geom.npix[0][0]} x {geom.npix[1][0]}, {int(cube.mask.sum())} computed"),
        ("centre", f"ra {center.ra.deg:.4f}, dec {center.dec.deg:.4f} deg"),
        ("energy bins", str(cube.n_bins)),
    ]


def _targets(found):
    from dmgammapy.targets import Targets
    from dmgammapy.targets.io._yaml import load_yaml

    if found.format == "roster":
        names = list(load_yaml(found.path))
        if len(names) > 1:
            return [("rosters", _listed(names))]
    targets = Targets.read(found.path, format=found.format)
    lines = [("targets", f"{len(targets)}: {_listed(t.key for t in targets)}")]
    missing = {k: v for k, v in targets.missing().items() if "log10_jfactor" in v}
    if missing:
        lines.append(("without J", _listed(missing)))
    return lines


def _spectra(found):
    yields = read(found)
    low, high = yields.mass_range().to_value("GeV")
    return [
        ("name", yields.name),
        ("channels", _listed(yields.channels, 40)),
        ("masses", f"{low:g} to {high:g} GeV"),
        ("reference", yields.reference or "unknown"),
    ]


def _limits(found):
    import numpy as np

    table = read(found)
    lines = []
    if "channel" in table.colnames:
        lines.append(("channels", _listed(dict.fromkeys(table["channel"]))))
    lines.append(("masses", _range(np.unique(table["mass"]), "GeV")))
    lines.append(("columns", _listed(table.colnames, 40)))
    skipped = ("notes", "skipped")
    for key, value in table.meta.items():
        if key not in skipped and isinstance(value, str | int | float) and value != "":
            lines.append((key, str(value)))
    return lines + [("note", note) for note in table.meta.get("notes") or ()]


def _config(found):
    from dmgammapy.analysis import AnalysisConfig

    config = AnalysisConfig.read(found.path)
    import yaml

    data = config.model_dump(mode="json", exclude_unset=True)
    lines = []
    for key, value in data.items():
        text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
        lines.append((key, text.removesuffix("\n...\n").strip()))
    masses = config.mass_grid
    return [*lines, ("mass grid", _range(masses, "GeV")), ("state", "valid")]


def _dmpipe(found):
    from dmgammapy.targets.io._yaml import load_yaml

    data = load_yaml(found.path)
    keys = ("ttype", "rosters", "astro_priors", "jpriors", "spatial_models")
    lines = [(key, str(data[key])) for key in keys if key in data]
    lines.append(("simulations", _listed(data.get("sims") or ())))
    return [*lines, ("translate", f"dmgammapy convert-config {found.path} -o analysis.yaml")]


def _results(found):
    import json

    lines = []
    manifest = found.path / "manifest.json"
    if manifest.is_file():
        try:
            data = json.loads(manifest.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{manifest}: damaged ({error}); run the analysis again.") from None
        for key in ("version", "config_file", "start", "host"):
            if isinstance(data.get(key), str):
                lines.append((key.replace("_", " "), data[key]))
        if isinstance(data.get("complete"), bool):
            lines.append(("complete", "yes" if data["complete"] else "no, see dmgammapy status"))
        skipped = data.get("skipped")
        if isinstance(skipped, dict):
            lines.append(("skipped", _listed(f"{k} ({v})" for k, v in skipped.items())))
        failures = data.get("failures")
        if failures:
            lines.append(("failed", _listed(failures)))
    files = [p for p in found.path.rglob("*") if p.is_file()]
    shown = [p.relative_to(found.path) for p in files]
    shown = sorted(p for p in shown if not p.parts[0].startswith("."))
    folders = {}
    for p in shown:
        folders.setdefault(p.parts[0] if len(p.parts) > 1 else "", []).append(p)
    for p in folders.pop("", []):
        lines.append(("file", str(p)))
    for name, inside in folders.items():
        lines.append((f"{name}/", f"{len(inside)} file{'s' if len(inside) > 1 else ''}"))
    return lines


_DESCRIBERS = {
    "castro": _castro,
    "sed": _sed,
    "cube": _cube,
    "targets": _targets,
    "spectra": _spectra,
    "limits": _limits,
    "config": _config,
    "dmpipe": _dmpipe,
    "results": _results,
}
