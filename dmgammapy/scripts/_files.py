"""What a file holds: recognised by its content, read with the options that its format knows."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["KINDS", "Recognised", "read", "recognise", "recognise_castro"]

KINDS = {
    "sed": "bin-by-bin SED likelihood",
    "castro": "likelihood of the signal strength",
    "cube": "castro cube (an SED likelihood at each pixel of a map)",
    "limits": "limits",
    "targets": "targets",
    "spectra": "photon yields",
    "config": "configuration of an analysis",
    "dmpipe": "configuration of dmpipe",
    "results": "folder of results",
}
YAML_SUFFIXES = (".yaml", ".yml")
# options that a reader of likelihood tables takes itself, by our names of options
CASTRO_OPTIONS = {
    "castro": {},
    "gloryduck": {n: n for n in ("target", "instrument", "channel", "process")},
    "lklcom": {n: n for n in ("target", "instrument", "channel", "process", "dataset")},
    "dmpipe": {"target": "target", "instrument": "instrument", "channel": "channels",
               "process": "process"},
}  # fmt: skip
ONE_CHANNEL = ("gloryduck",)


@dataclass(frozen=True)
class Recognised:
    """A file, what it holds (a key of `KINDS`) and in which format."""

    path: Path
    kind: str
    format: str

    @property
    def text(self):
        """What it is, in words."""
        return f"{KINDS[self.kind]}, format {self.format}"


def recognise(path):
    """Find out what a file or folder holds.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    recognised : `Recognised`

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If nothing fits; it lists what was tried.
    """
    from dmgammapy.utils import SourceFile

    path = Path(path).expanduser()
    if path.is_dir():
        if (path / "manifest.json").is_file() or (path / ".dmgammapy").is_dir():
            return Recognised(path, "results", "dmgammapy")
        raise ValueError(f"{path}: a folder without results (no manifest.json); name a file.")
    source = SourceFile(path)
    if source.kind == "text" and path.suffix.lower() in YAML_SUFFIXES:
        return Recognised(path, *_recognise_yaml(path))
    reasons = []
    for look in (_look_table, _look_cube, _look_castro, _look_sed, _look_spectra):
        found = look(path, source, reasons)
        if found is not None:
            return Recognised(path, *found)
    tried = "\n".join(f"- {reason}" for reason in reasons)
    raise ValueError(f"{path}: not recognised. Tried\n{tried}")


def _recognise_yaml(path):
    from dmgammapy.targets.io._yaml import load_yaml
    from dmgammapy.targets.readers import _identify

    data = load_yaml(path)
    if "ttype" in data and "rosters" in data:
        return "dmpipe", "dmpipe"
    if "masses" in data and ("targets" in data or "rosters" in data):
        return "config", "yaml"
    try:
        return "targets", _identify(path)[0]
    except ValueError as error:
        raise ValueError(
            f"{path}: neither a configuration (with targets or rosters, datasets, channels, "
            f"masses) nor targets or rosters: {error}"
        ) from None


def _look_table(path, source, reasons):
    """ECSV tables, by their columns."""
    if source.kind != "ecsv":
        return None
    from astropy.table import Table

    names = set(Table.read(path, format="ascii.ecsv").colnames)
    if {"mass", "channel", "status"} <= names:
        return "limits", "table"
    if "mass" in names and names & {"sigmav", "sigma_v", "tau"}:
        return "limits", "published"
    if "name" in names and not names & {"norm_scan", "e_min"}:
        return "targets", "ecsv"
    reasons.append(
        "table (ECSV): neither limits (mass and sigmav or tau) nor targets (name); its columns "
        f"are {', '.join(sorted(names))}"
    )
    return None


def _look_cube(path, source, reasons):
    if source.kind != "fits":
        return None
    from dmgammapy.estimators.io import cube
    from dmgammapy.estimators.io._files import TableFile

    hdus = cube._open(TableFile(path))
    reason = cube.identify(hdus)
    if reason is None:
        return "cube", "fermipy"
    reasons.append(f"castro cube: {reason}")
    names = [hdu.name for hdu in hdus]
    if "SPECDATA" in names:
        return "spectra", "dmpipe"
    columns = [c.lower() for c in getattr(getattr(hdus[-1], "columns", None), "names", [])]
    first = [c.lower() for c in getattr(getattr(hdus[1], "columns", None), "names", [])] if (
        len(hdus) > 1
    ) else []  # fmt: skip
    if "MASSES" in names and "mles" in {*columns, *first}:
        return "limits", "dmpipe"
    return None


def _look_castro(path, source, reasons):
    from dmgammapy.estimators.io import CASTRO_FORMATS
    from dmgammapy.estimators.io._files import TableFile

    return _look_in("castro", CASTRO_FORMATS, TableFile(path), reasons)


def _look_sed(path, source, reasons):
    from dmgammapy.datasets.io import SED_FORMATS
    from dmgammapy.datasets.io._source import SEDFile

    return _look_in("sed", SED_FORMATS, SEDFile(path), reasons)


def _look_in(kind, formats, source, reasons):
    for name, module in formats.items():
        try:
            reason = module.identify(source)
        except ValueError as error:  # damaged for this reader, which is stricter than others
            reason = str(error).strip()
        if reason is None:
            return kind, name
        reasons.append(f"{name} ({module.DESCRIPTION}): {reason}")
    return None


def _look_spectra(path, source, reasons):
    from dmgammapy.spectra.readers import _identify, read_spectra

    try:
        read_spectra(path)
    except (ValueError, OSError, KeyError, TypeError, ImportError) as error:
        reasons.append(f"photon yields: {str(error).splitlines()[0]}")
        return None
    return "spectra", _identify(path)


def recognise_castro(path):
    """Recognise a file that must be a likelihood table; others are explained.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    recognised : `Recognised`

    Raises
    ------
    ValueError
        If it holds something else.
    """
    found = recognise(path)
    if found.kind != "castro":
        hints = {
            "sed": "the spectra, masses and channels of an analysis turn it into one: "
            "dmgammapy run",
            "limits": "limits can't be turned back into likelihoods",
            "results": "name one of its files, like stacks/<roster>/<jfactor>.fits",
            "config": "run it first: dmgammapy run",
            "cube": "take the likelihood at a position: dmgammapy convert --position, then run",
        }
        hint = hints.get(found.kind)
        raise ValueError(
            f"{path}: expected a {KINDS['castro']} (castro, dmpipe, gloryduck, lklcom), this is "
            f"{found.text}{f'; {hint}' if hint else ''}."
        )
    return found


def read(found, **options):
    """Read what was recognised.

    Parameters
    ----------
    found : `Recognised`
    **options
        ``target, instrument, channel`` (tuple), ``process, dataset, roster, format``; those that
        are None or empty are not given.

    Returns
    -------
    content
        `~dmgammapy.datasets.SEDLikelihoodDataset`, `~dmgammapy.estimators.CastroMaps`,
        `~dmgammapy.estimators.CastroCube`, `~dmgammapy.targets.Targets`, spectra, or a table of
        limits.
    """
    given = {key: value for key, value in options.items() if value not in (None, ())}
    return _READERS[found.kind](found, given)


def _read_castro(found, given):
    from dmgammapy.estimators import CastroMaps

    known = CASTRO_OPTIONS[found.format]
    channels = list(given.get("channel", ()))
    kwargs = {known[key]: value for key, value in given.items() if key in known}
    if channels and "channel" in known:
        name = known["channel"]
        kwargs[name] = channels[0] if found.format in ONE_CHANNEL else channels
    castro = CastroMaps.read(found.path, format=found.format, **kwargs)
    if channels:
        castro = slice_channels(castro, channels)
    for key in ("target", "instrument"):
        if key in given and key not in known:
            setattr(castro.meta, key, given[key])
    _refuse(found, given, ("target", "instrument", "channel", *known))
    return castro


def slice_channels(castro, channels):
    """Keep these channels, whatever their spelling."""
    from dmgammapy.spectra import channel_label

    return castro.slice_by_coord({"channel": [channel_label(name) for name in channels]})


def _read_sed(found, given):
    from dmgammapy.datasets import SEDLikelihoodDataset

    _refuse(found, given, ("target", "instrument"))
    kwargs = {"instrument": given.get("instrument")}
    if found.format == "fermipy-castro":
        kwargs["target"] = given.get("target")
    elif "target" in given:
        kwargs["name"] = given["target"]
    kwargs = {key: value for key, value in kwargs.items() if value is not None}
    return SEDLikelihoodDataset.read(found.path, format=found.format, **kwargs)


def _read_cube(found, given):
    from dmgammapy.estimators import CastroCube

    _refuse(found, given, ())
    return CastroCube.read(found.path)


def _read_targets(found, given):
    from dmgammapy.targets import Targets

    _refuse(found, given, ("roster",))
    return Targets.read(found.path, format=found.format, roster=given.get("roster"))


def _read_spectra(found, given):
    from dmgammapy.spectra import read_spectra

    _refuse(found, given, ())
    return read_spectra(found.path)


def _read_limits(found, given):
    from astropy.table import QTable

    from dmgammapy.estimators.io import read_dmpipe_limits, read_published_limits

    _refuse(found, given, ("channel", "process"))
    if found.format == "dmpipe":
        channels = list(given.get("channel", ())) or None
        return read_dmpipe_limits(found.path, channels=channels, process=given.get("process"))
    if found.format == "published":
        return read_published_limits(found.path)
    return QTable.read(found.path, format="ascii.ecsv")


_READERS = {
    "castro": _read_castro,
    "sed": _read_sed,
    "cube": _read_cube,
    "targets": _read_targets,
    "spectra": _read_spectra,
    "limits": _read_limits,
}


def _refuse(found, given, known):
    """Raise a ValueError about options that have no use for a file."""
    for key in given:
        if key not in known:
            raise ValueError(
                f"{found.path}: --{key} has no use here; the file is {found.text}"
                + (f", which takes {', '.join('--' + k for k in known)}." if known else ".")
            )
