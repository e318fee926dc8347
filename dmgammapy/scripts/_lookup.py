"""Commands that look things up: targets, spectra, info."""

from pathlib import Path

import click

from ._common import (
    USER_ERRORS,
    command,
    emit,
    format_option,
    message,
    output_option,
    overwrite_option,
    write_table,
)

__all__ = ["COMMANDS"]

QUANTITIES = ("dnde", "flux", "eflux")
PROCESSES = click.Choice(["annihilation", "decay"])


def find_targets(name, roster=None):
    """Targets of a bundled roster, of a file, or all versions of a bundled target.

    Parameters
    ----------
    name : str
    roster : str, optional
        Which one, of a file with several.

    Returns
    -------
    targets : `~dmgammapy.targets.Targets`

    Raises
    ------
    ValueError
        If there is none of the three.
    """
    from dmgammapy.targets import Targets

    path = Path(name).expanduser()
    if path.is_file():
        return Targets.read(path, roster=roster)
    if name in Targets.rosters():
        return Targets.read_roster(name)
    bundled = Targets.bundled()
    wanted = [t for t in bundled if name in (t.name, t.key)]
    if wanted:
        return Targets(wanted)
    from difflib import get_close_matches

    known = [*Targets.rosters(), *dict.fromkeys(bundled.names)]
    found = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(found)}?" if found else ""
    raise ValueError(
        f"{name!r} is neither a roster, nor a target, nor a file.{hint} 'dmgammapy targets' lists "
        "the rosters."
    )


@command()
@click.argument("name", required=False, metavar="[ROSTER|FILE|TARGET]")
@click.option("--roster", help="Which one, of a file with several rosters.")
@click.option("--process", type=PROCESSES, default="annihilation", show_default=True,
              help="J-factors (annihilation) or D-factors (decay).")  # fmt: skip
@format_option
@output_option
@overwrite_option
def targets(name, roster, process, format, output, overwrite):
    r"""List the rosters, or the targets of one with their J-factors.

    ROSTER is a bundled roster; FILE a table, or a file of dmsky or dmpipe; TARGET gives all
    versions of one target. With -o and a name that ends with .ecsv all columns are written, which
    'targets: file' of a configuration can read.

    \b
    Examples:
      dmgammapy targets
      dmgammapy targets ackermann2015_dsphs
      dmgammapy targets draco --format csv
      dmgammapy targets pace2018_all -o pace2018.ecsv
    """
    if name is None:
        write_table(_rosters(process), output, format, overwrite)
        return
    found = find_targets(name, roster)
    if output is not None and output.suffix == ".ecsv" and format in (None, "ecsv"):
        found.write(output.expanduser(), overwrite=overwrite)
    else:
        write_table(_table(found, process), output, format, overwrite)
    missing = found.missing(process)
    if missing and output is None and format in (None, "text"):
        text = "; ".join(f"{key}: {', '.join(names)}" for key, names in missing.items())
        click.echo(f"Unknown for {len(missing)} of {len(found)}: {text}", err=True)


def _factor(process):
    return "log10_jfactor" if process == "annihilation" else "log10_dfactor"


def _rosters(process):
    from astropy.table import Table

    from dmgammapy.targets import Targets

    rows = []
    for name in Targets.rosters():
        found = Targets.read_roster(name)
        known = sum(getattr(t, _factor(process)) is not None for t in found)
        width = sum(getattr(t, f"{_factor(process)}_err") is not None for t in found)
        references = list(dict.fromkeys(t.reference for t in found if t.reference))
        text = references[0] if references else ""
        text += f" and {len(references) - 1} more" if len(references) > 1 else ""
        rows.append((name, len(found), known, width, text))
    letter = "J" if process == "annihilation" else "D"
    names = ["roster", "targets", f"with {letter}", "with width", "reference"]
    return Table(rows=rows, names=names)


def _table(found, process):
    from astropy.table import MaskedColumn, Table

    factor = _factor(process)
    table = Table()
    table["name"] = found.names
    table["version"] = [t.version or "" for t in found]

    def numbers(values):
        missing = [v is None for v in values]
        return MaskedColumn([0.0 if v is None else float(v) for v in values], mask=missing)

    table[factor] = numbers([getattr(t, factor) for t in found])
    widths = [getattr(t, f"{factor}_err") for t in found]
    if any(isinstance(w, tuple) for w in widths):
        pairs = [w if isinstance(w, tuple) else (w, w) for w in widths]
        table["err_low"], table["err_high"] = (numbers(list(x)) for x in zip(*pairs, strict=True))
    else:
        table["err"] = numbers(widths)
    for name in ("err", "err_low", "err_high"):
        if name in table.colnames:
            table[name].unit = "dex"
    table["distance"] = numbers(
        [None if t.distance is None else t.distance.to_value("kpc") for t in found]
    )
    table["distance"].unit = "kpc"
    table["reference"] = [t.reference or "" for t in found]
    return table


# ---- spectra -------------------------------------------------------------------------------------


@command()
@click.argument("name", required=False)
@click.option("--channel", "channels", multiple=True, metavar="NAME", help="Repeatable.")
@click.option("--mass", metavar="MASS", help="Of the dark matter particle, such as '100 GeV'.")
@click.option("--process", type=PROCESSES, default="annihilation", show_default=True)
@click.option("--quantity", type=click.Choice(QUANTITIES), default="dnde", show_default=True,
              help="dN/dE; number of photons or their energy, in bins.")  # fmt: skip
@click.option("--energy", nargs=2, metavar="LOW HIGH",
              help="Range of energies. Default is mass / 1000 to the end.")  # fmt: skip
@click.option("--n", "n", type=click.IntRange(1), default=12, show_default=True,
              help="Number of energies or bins, in equal steps of log E.")  # fmt: skip
@format_option
@output_option
@overwrite_option
def spectra(name, channels, mass, process, quantity, energy, n, format, output, overwrite):
    r"""List the tables of photon yields, the channels of one, or print a spectrum.

    NAME is pppc4, dmfit, cosmixs, hdmspectra, line, box or a file. Yields are per annihilation (or
    decay).

    \b
    Examples:
      dmgammapy spectra
      dmgammapy spectra dmfit
      dmgammapy spectra pppc4 --channel b --channel tau --mass '100 GeV'
      dmgammapy spectra pppc4 --channel b --mass '1 TeV' --quantity flux --energy '1 GeV' '1 TeV'
    """
    if name is None:
        table = _all_spectra()
    else:
        from dmgammapy.spectra import read_spectra

        yields = read_spectra(name)
        if mass is None:
            if channels or energy:
                raise click.UsageError("--channel and --energy need --mass.")
            table = _channels(yields, process)
        else:
            table = _spectrum(yields, channels, mass, process, quantity, energy, n)
    write_table(table, output, format, overwrite)


def _all_spectra():
    from astropy.table import Table

    from dmgammapy.spectra import read_spectra
    from dmgammapy.spectra.readers import NAMES

    rows = []
    for name in NAMES:
        try:
            found = read_spectra(name)
        except (ValueError, OSError, ImportError) as error:
            rows.append((name, "-", "-", f"not available: {error}"))
            continue
        rows.append((name, str(len(found.channels)), _mass_range(found), found.reference or "-"))
    return Table(rows=rows, names=["name", "channels", "masses", "reference"])


def _mass_range(yields, process="annihilation"):
    import numpy as np

    low, high = yields.mass_range(process).to_value("GeV")
    if low == 0 and not np.isfinite(high):
        return "any"
    return f"{low:g} to {high:g} GeV"


def _channels(yields, process):
    import astropy.units as u
    import numpy as np
    from astropy.table import Table

    low, high = yields.mass_range(process).to_value("GeV")
    rows = []
    for channel in yields.channels:
        first = low
        if len(yields.masses):
            masses = yields.masses * (1 if process == "annihilation" else 2)
            valid = np.atleast_1d(yields.is_valid(masses, channel, process))
            first = masses[valid][0].to_value("GeV") if valid.any() else np.nan
        rows.append((channel, first, high))
    table = Table(rows=rows, names=["channel", "lowest mass", "highest mass"])
    for name in ("lowest mass", "highest mass"):
        table[name].unit = u.GeV
    return table


def _quantity(text, what):
    import astropy.units as u

    try:
        value = u.Quantity(text).to("GeV")
    except (TypeError, ValueError):
        raise ValueError(f"{what}: expected an energy such as '100 GeV', got {text!r}.") from None
    if not value > 0:
        raise ValueError(f"{what}: expected a positive energy, got {text!r}.")
    return value


def _spectrum(yields, channels, mass, process, quantity, energy, n):
    """Spectrum of each channel, one column for each."""
    import astropy.units as u
    import numpy as np
    from astropy.table import QTable

    from dmgammapy.spectra import channel_label, parse_channel

    mass = _quantity(mass, "--mass")
    chosen = [parse_channel(c) for c in channels] or list(yields.channels)
    end = mass if process == "annihilation" else mass / 2
    low, high = (
        (_quantity(e, "--energy") for e in energy) if energy else (end / 1000, end)
    )  # fmt: skip
    if not low < high:
        raise ValueError(f"--energy: the first must be the lower one, got {low} and {high}.")
    table = QTable()
    if quantity == "dnde":
        nodes = np.geomspace(low.value, high.value, n) * u.GeV
        table["energy"] = nodes
        values = yields.dnde(nodes, mass, chosen, process)
    else:
        edges = np.geomspace(low.value, high.value, n + 1) * u.GeV
        table["energy_min"], table["energy_max"] = edges[:-1], edges[1:]
        values = yields.integrate(edges, mass, chosen, process, norm_type=quantity)
    for channel, row in zip(chosen, values, strict=True):
        table[channel_label(channel)] = row
    valid = np.atleast_1d(yields.is_valid(mass, chosen, process))
    without = [channel_label(c) for c, ok in zip(chosen, valid, strict=True) if not ok]
    if without:
        click.echo(
            f"Warning: no spectrum at {mass:g} (below the threshold): {', '.join(without)}",
            err=True,
        )
    table.meta.update(
        spectra=yields.name, mass=str(mass), process=process, quantity=quantity,
    )  # fmt: skip
    return table


# ---- info ----------------------------------------------------------------------------------------


@command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...",
                type=click.Path(path_type=Path))  # fmt: skip
@output_option
@overwrite_option
def info(files, output, overwrite):
    r"""Say what files are: format, targets, channels, masses, treatment of J, notes.

    For every format that can be read, configurations and folders of results included.

    \b
    Examples:
      dmgammapy info castro.fits sed_draco.fits
      dmgammapy info results
    """
    from ._describe import describe

    blocks, errors = [], []
    for path in files:
        try:
            lines = describe(path)
        except USER_ERRORS as error:  # the other files are told all the same
            errors.append(message(error))
            continue
        width = max(len(key) for key, _ in lines)
        blocks.append("\n".join(f"{key.ljust(width)}  {value}" for key, value in lines))
    if blocks:
        emit("\n\n".join(blocks), output, overwrite)
    if errors:
        raise ValueError("\n".join(errors))


COMMANDS = (targets, spectra, info)
