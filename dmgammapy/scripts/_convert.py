"""Commands that turn files into others: convert, convert-config."""

from pathlib import Path

import click

from ._common import command, emit, overwrite_option

__all__ = ["COMMANDS"]

# formats that can be written, by kind; the first one of a suffix is its default
WRITTEN = {
    "sed": ("fermipy", "fermipy-castro", "gadf", "fermi-lat-dsph"),
    "castro": ("castro", "gloryduck", "lklcom", "dmpipe", "published"),
    "cube": ("fermipy",),
    "targets": ("ecsv",),
    "limits": ("published",),
}
BY_SUFFIX = {
    "sed": {".fits": "fermipy", ".fit": "fermipy", ".ecsv": "gadf", ".txt": "fermi-lat-dsph"},
    "castro": {
        ".fits": "castro", ".fit": "castro", ".txt": "gloryduck", ".dat": "gloryduck",
        ".h5": "lklcom", ".hdf5": "lklcom", ".ecsv": "published",
    },
    "cube": {".fits": "fermipy", ".fit": "fermipy"},
    "targets": {".ecsv": "ecsv"},
    "limits": {".ecsv": "published"},
}  # fmt: skip
ALL_FORMATS = sorted({f for formats in WRITTEN.values() for f in formats})
NAMED = ("gloryduck", "lklcom")  # formats with names of their own for target and instrument
# why something can't become something else
NO_WAY = {
    ("sed", "castro"): "an SED likelihood becomes one of the signal strength with photon yields, "
    "masses and channels: write a configuration (dmgammapy config --template) and use "
    "'dmgammapy run', then convert castro/<instrument>/<target>.fits",
    ("castro", "sed"): "the energy bins of a likelihood of the signal strength are added already; "
    "go back to the SED file",
    ("limits", "castro"): "limits can't be turned back into likelihoods",
    ("limits", "sed"): "limits can't be turned back into likelihoods",
    ("cube", "castro"): "take the SED likelihood at a position (--position 'RA DEC' --to fermipy) "
    "and use 'dmgammapy run'",
}


@command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target_file", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--from", "from_format", metavar="FORMAT", help="Format of IN; recognised if absent.")
@click.option(
    "--to", "to_format", type=click.Choice(ALL_FORMATS), metavar="FORMAT",
    help=f"Format of OUT: {', '.join(ALL_FORMATS)}. Default is what its name ends with.",
)  # fmt: skip
@click.option("--target", help="Name of the target: choose it in IN, or give it.")
@click.option("--instrument", help="Name of the instrument: choose it in IN, or give it.")
@click.option("--channel", multiple=True, help="Only this channel. Repeatable.")
@click.option("--process", type=click.Choice(["annihilation", "decay"]), help="That IN is about.")
@click.option("--dataset", help="Of an lklcom file: data (default) or simu_<n>.")
@click.option("--roster", help="Which one, of a file with several rosters.")
@click.option("--position", metavar="'RA DEC'", help="Of a castro cube: take the SED there [deg].")
@overwrite_option
def convert(source, target_file, from_format, to_format, position, overwrite, **options):
    r"""Convert the file IN into OUT, between all formats that hold the same.

    \b
    SED likelihoods:        fermipy, fermipy-castro, gadf, fermi-lat-dsph
    likelihoods of sigmav:  castro, gloryduck, lklcom, dmpipe; published (limits only)
    castro cubes:           fermipy, or one position of them as an SED likelihood
    limits:                 published (ECSV), also from dmpipe's limits
    targets, rosters:       ecsv, also from dmsky and dmpipe (YAML)

    \b
    Examples:
      dmgammapy convert like_draco.txt sed_draco.fits
      dmgammapy convert bb_Segue1_IACT.txt segue1.fits
      dmgammapy convert castro.fits '{channel}_draco_fermi-lat.txt' --to gloryduck
      dmgammapy convert stacked.fits lat_2026_dsphs_ann_bb.ecsv --channel b
      dmgammapy convert tscube.fits sed_draco.fits --position '260.05 57.92'
      dmgammapy convert dwarfs.yaml dwarfs.ecsv
    """
    from ._files import Recognised, read, recognise

    found = recognise(source)
    if from_format not in (None, found.format):
        found = Recognised(found.path, _kind_of(from_format, found), from_format)
    kind, format = _target_format(found, target_file, to_format, position)
    content = read(found, **options)
    if found.kind == "cube" and kind == "sed":
        content = _at(content, position, options["target"])
    _write(content, kind, target_file.expanduser(), format, overwrite, options)


def _kind_of(format, found):
    """Kind of the files of a format that the user names."""
    from dmgammapy.datasets.io import SED_FORMATS
    from dmgammapy.estimators.io import CASTRO_FORMATS
    from dmgammapy.targets.readers import FORMATS

    known = {"sed": tuple(SED_FORMATS), "castro": tuple(CASTRO_FORMATS), "targets": FORMATS,
             "limits": ("published", "dmpipe"), "cube": ("fermipy",)}  # fmt: skip
    if format in known.get(found.kind, ()):
        return found.kind
    for kind, formats in known.items():
        if format in formats:
            return kind
    every = sorted({f for formats in known.values() for f in formats})
    raise click.BadParameter(
        f"unknown format {format!r}; known are {', '.join(every)}", param_hint="--from"
    )


def _target_format(found, path, format, position):
    """Kind and format of the file to write."""
    kind = "sed" if found.kind == "cube" and position is not None else found.kind
    if kind not in WRITTEN:
        hint = "; see dmgammapy convert-config" if kind == "dmpipe" else ""
        raise ValueError(f"{found.path}: {found.text} can't be converted{hint}.")
    if position is not None and found.kind != "cube":
        raise ValueError(f"{found.path}: --position is for castro cubes; this is {found.text}.")
    if format is None:
        suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
        format = BY_SUFFIX[kind].get(suffix) or _elsewhere(found, kind, suffix, path)
    if format not in WRITTEN[kind]:
        others = [k for k, formats in WRITTEN.items() if format in formats]
        _no_way(found, kind, others[0], format)
    return kind, format


def _elsewhere(found, kind, suffix, path):
    """No format of this kind has the suffix: say what there is."""
    suffixes = ", ".join(f"{s} ({f})" for s, f in BY_SUFFIX[kind].items())
    for other, table in BY_SUFFIX.items():
        if suffix in table and (kind, other) in NO_WAY:
            _no_way(found, kind, other, table[suffix])
    raise ValueError(
        f"{path}: {found.path} is {found.text}, and no format of that ends with {suffix!r}; use "
        f"one of {suffixes}, or --to {'|'.join(WRITTEN[kind])}."
    )


def _no_way(found, kind, other, format):
    reason = NO_WAY.get((kind, other))
    raise ValueError(
        f"{found.path} is {found.text}, which can't become {format}"
        + (f": {reason}." if reason else f"; it can become {', '.join(WRITTEN[kind])}.")
    )


def _at(cube, position, name):
    """SED likelihood of a cube at a position in degrees."""
    from astropy.coordinates import SkyCoord

    try:
        ra, dec = (float(word) for word in position.replace(",", " ").split())
        place = SkyCoord(ra, dec, unit="deg", frame="icrs")
    except ValueError:
        raise ValueError(
            f"--position: expected right ascension and declination [deg] such as '260.05 57.92', "
            f"got {position!r}."
        ) from None
    return cube.get_dataset(place, name=name)


def _write(content, kind, path, format, overwrite, options):
    """Write what was read, in a format of its kind."""
    if kind == "cube":
        content.write(path, overwrite=overwrite)
    elif kind == "targets":
        content.write(path, overwrite=overwrite)
    elif kind == "limits":
        _write_limits(content, path, overwrite)
    elif format == "published":
        from dmgammapy.estimators.io import write_published_limits

        write_published_limits(content, path, overwrite=overwrite)
    elif kind == "castro":
        names = {k: options[k] for k in ("target", "instrument") if options[k]}
        kwargs = names if format in NAMED else {}
        content.write(path, format=format, overwrite=overwrite, **kwargs)
    else:
        content.write(path, format=format, overwrite=overwrite)


def _write_limits(table, path, overwrite):
    from astropy.table import Table

    from dmgammapy.utils import atomic_path

    with atomic_path(path, overwrite) as temporary:
        # a plain table: QTable columns would be written in a form other readers don't know
        Table(table, copy=False).write(temporary, format="ascii.ecsv")


@command("convert-config")
@click.argument("master", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="YAML file to write. Default is to print.")  # fmt: skip
@click.option("--data", metavar="PATTERN",
              help="SED files with {target}, {profile}, if not at dmpipe's place.")  # fmt: skip
@click.option("--dmsky", multiple=True, metavar="DIR",
              help="Folder of dmsky's rosters and targets. Repeatable.")  # fmt: skip
@overwrite_option
def convert_config(master, output, data, dmsky, overwrite):
    r"""Translate dmpipe's configuration into one for 'dmgammapy run'.

    MASTER is dmpipe's master file. The files that it names (spectra, simulations, random
    directions, aliases, rosters) are found relative to it, to the folders above it and to where you
    are. What can't be translated is listed on standard error and at the top of the new file.

    \b
    Examples:
      dmgammapy convert-config config/master_dSphs.yaml -o analysis.yaml
      dmgammapy convert-config master.yaml --data 'seds/{target}.fits' --dmsky my_dmsky
    """
    from dmgammapy.analysis.dmpipe_config import dmpipe_config_text

    text, notes = dmpipe_config_text(
        master, output=output, data=data, dmsky=list(dmsky), overwrite=overwrite
    )
    if output is None:
        emit(text)
    else:
        click.echo(f"Written: {output}")
    if notes:
        click.echo("Not translated, or with another meaning here:", err=True)
        for note in notes:
            click.echo(f"- {note}", err=True)


COMMANDS = (convert, convert_config)
