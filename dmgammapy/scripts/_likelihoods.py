"""Commands about likelihoods of the signal strength: limits, stack."""

from pathlib import Path

import click

from ._common import command, format_option, output_option, overwrite_option, write_table

__all__ = ["COMMANDS"]

METHODS = ("profile", "cls", "clsb", "power_constrained", "feldman_cousins")
TREATMENTS = ("profile", "marginal", "fixed")

channel_option = click.option(
    "--channel", "channels", multiple=True, metavar="NAME", help="Only this channel. Repeatable."
)


@command()
@click.argument("castro", type=click.Path(path_type=Path))
@click.option("--cl", type=float, help="Confidence level. Default is that of the file, or 0.95.")
@channel_option
@click.option("--mass", "masses", multiple=True, metavar="MASS",
              help="Only this mass, such as '100 GeV'. Repeatable.")  # fmt: skip
@click.option("--method", type=click.Choice(METHODS), default="profile", show_default=True,
              help="How the upper limit is defined.")  # fmt: skip
@click.option("--asimov", type=click.Path(path_type=Path), metavar="FILE",
              help="Likelihood of Asimov data, for methods that use it.")  # fmt: skip
@click.option("--target", help="Which one, of a file with several (lklcom).")
@click.option("--instrument", help="Which one, of a file with several (lklcom).")
@format_option
@output_option
@overwrite_option
def limits(
    castro, cl, channels, masses, method, asimov, target, instrument, format, output, overwrite
):
    r"""Print the limits in a likelihood file, of any format.

    The column status says what a limit is worth: found, extrapolated, grid_edge (none inside the
    scan), no_information, approximate (its width was guessed) or all_excluded.

    \b
    Examples:
      dmgammapy limits castro.fits --cl 0.95 --channel b --format ecsv
      dmgammapy limits bb_Segue1_IACT.txt --mass '1 TeV'
      dmgammapy limits stack.fits --method cls --asimov asimov.fits -o limits.ecsv
    """
    from ._files import read, recognise_castro

    maps = read(recognise_castro(castro), target=target, instrument=instrument, channel=channels)
    expected = None
    if asimov is not None:
        expected = read(recognise_castro(asimov), channel=channels)
    maps = _at_masses(maps, masses, castro)
    expected = None if expected is None else _at_masses(expected, masses, asimov)
    table = limits_table(maps, cl, method, expected)
    write_table(table, output, format, overwrite)


def _at_masses(maps, masses, path):
    if not masses:
        return maps
    import astropy.units as u

    chosen = []
    for text in masses:
        try:
            chosen.append(u.Quantity(text).to("GeV"))
        except (TypeError, ValueError):
            raise ValueError(f"--mass: expected a mass such as '100 GeV', got {text!r}.") from None
    try:
        return maps.slice_by_coord({"mass": u.Quantity(sorted(chosen))})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def limits_table(maps, cl=None, method="profile", asimov=None):
    """Limits of a result, further axes (realisations, quantiles, targets) as columns.

    Parameters
    ----------
    maps : `~dmgammapy.estimators.CastroMaps`
    cl : float, optional
        Default is that of the result.
    method : str
        See `CastroMaps.upper_limit`.
    asimov : `~dmgammapy.estimators.CastroMaps`, optional

    Returns
    -------
    table : `~astropy.table.QTable`
        Columns of `CastroMaps.to_table` without errors; further axes first.
    """
    from astropy.table import vstack

    axes = [axis for axis in maps.geom.axes if axis.name not in ("mass", "channel")]
    if axes:
        axis = axes[-1]
        tables = []
        labels = _labels(axis)
        for label, item in zip(labels, maps.iter_by_axis(axis.name), strict=True):
            table = limits_table(_without(item, axis.name), cl, method, asimov)
            table.add_column([label] * len(table), index=0, name=axis.name)
            tables.append(table)
        return vstack(tables, metadata_conflicts="silent")
    table = maps.to_table()
    name = maps.strength_name
    table.remove_column(f"{name}_err")
    cl = maps.meta.cl if cl is None else cl
    if "stat_scan" in maps.available_quantities:
        _compute(table, maps, cl, method, asimov)
    elif (cl, method) != (maps.meta.cl, "profile"):
        raise ValueError(
            "the file holds no likelihood any more, only limits by the method profile at "
            f"{maps.meta.cl:g}: neither --cl nor --method can be changed."
        )
    if "status" in table.colnames:
        order = [c for c in table.colnames if c != "status"]
        table = table[[*order, "status"]]
    table.meta["cl"], table.meta["method"] = float(cl), method
    return table


def _compute(table, maps, cl, method, asimov):
    """Put the limits of a method into a table of `CastroMaps.to_table`."""
    import numpy as np

    from dmgammapy.estimators import LimitStatus

    limit, status = maps.upper_limit_and_status(cl, method, asimov=asimov)
    values = limit.quantity.ravel()
    table[f"{maps.strength_name}_ul"] = values
    if "tau_ll" in table.colnames:
        with np.errstate(divide="ignore"):
            table["tau_ll"] = (1 / values).to("s")
    table["status"] = [LimitStatus(int(s)).name.lower() for s in status.data.ravel()]


def _labels(axis):
    values = list(axis.center)
    return [v if isinstance(v, str) else float(getattr(v, "value", v)) for v in values]


def _without(maps, name):
    """Drop an axis with a single bin."""
    from gammapy.maps import RegionGeom, RegionNDMap

    data = {}
    for key, m in maps.to_maps().items():
        axes = [axis for axis in m.geom.axes if axis.name != name]
        position = m.geom.axes.names[::-1].index(name)
        array = m.data.squeeze(axis=position)
        data[key] = RegionNDMap(RegionGeom(None, axes=axes), array, unit=m.unit)
    return type(maps)(data, maps.meta)


@command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--method", type=click.Choice(TREATMENTS), default="profile", show_default=True,
              help="Treatment of the J-factors.")  # fmt: skip
@click.option("--cl", type=float, default=0.95, show_default=True, help="Confidence level.")
@click.option("--targets", "roster", metavar="ROSTER",
              help="Roster or file with the J-factors and their widths. Default is what the files "
              "say.")  # fmt: skip
@click.option("--common", is_flag=True,
              help="Keep the masses and channels that all files have.")  # fmt: skip
@channel_option
@click.option("--n-jobs", type=int, default=1, show_default=True, help="Targets at the same time.")
@format_option
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the combined likelihood (FITS).")  # fmt: skip
@overwrite_option
def stack(files, method, cl, roster, common, channels, n_jobs, format, output, overwrite):
    r"""Combine likelihood files of several targets or instruments, and print the limits.

    Files of any format (castro, dmpipe, gloryduck, lklcom) with the same masses and channels.
    Instruments that saw the same target share its J-factor; files of Glory Duck that differ in the
    channel alone are put together first.

    \b
    Examples:
      dmgammapy stack results/castro/*.fits -o combined.fits
      dmgammapy stack lat/draco.fits magic/draco.fits --method fixed
      dmgammapy stack bb_*_IACT.txt --targets geringer-sameth2015_nfw --common
    """
    from dmgammapy.estimators import StackedDMLikelihood

    castros = _read_all(files, channels)
    if common:
        castros = _on_common_axes(castros)
    priors = None if roster is None else _priors(roster, castros)
    combined = StackedDMLikelihood(
        castros, priors=priors, method=method, cl=cl, n_jobs=n_jobs
    ).run()
    if output is not None:
        combined.write(output.expanduser(), overwrite=overwrite)
    write_table(limits_table(combined), None, format)


def _read_all(files, channels):
    """Likelihoods of all files; Glory Duck's channels of a target and instrument together."""
    from dmgammapy.estimators.io import read_gloryduck_channels
    from dmgammapy.estimators.io.gloryduck import parse_name

    from ._files import read, recognise_castro, slice_channels

    castros, groups = [], {}
    for path in dict.fromkeys(files):
        found = recognise_castro(path)
        if found.format == "gloryduck":
            groups.setdefault(parse_name(path)[1:], []).append(path)
        else:
            castros.append(read(found, channel=channels))
    for paths in groups.values():
        castro = read_gloryduck_channels(paths)
        castros.append(slice_channels(castro, channels) if channels else castro)
    for castro in castros:
        if castro.geom.axes.names != ["mass", "channel"]:
            raise ValueError(
                f"{castro.meta.origin or 'a file'} has the axes {castro.geom.axes.names}: "
                "ensembles and bands can't be stacked."
            )
    return castros


def _on_common_axes(castros):
    """Results on the masses and channels that all of them have."""
    import astropy.units as u
    import numpy as np

    channels = [c for c in castros[0].channels if all(c in m.channels for m in castros)]
    grids = [m.masses.to_value("GeV") for m in castros]
    masses = [m for m in grids[0] if all(np.isclose(g, m, rtol=1e-6).any() for g in grids)]
    if not channels or not masses:
        what = "channel" if not channels else "mass"
        raise ValueError(f"--common: there is no {what} that all files have.")
    left = {c for m in castros for c in m.channels} - set(channels)
    dropped = [f"channels {', '.join(sorted(left))}"] if left else []
    longest = max(len(g) for g in grids)
    if longest > len(masses):
        dropped.append(f"up to {longest - len(masses)} masses of a file")
    if dropped:
        click.echo(f"Warning: left out as not common: {'; '.join(dropped)}", err=True)
    return [m.slice_by_coord({"channel": channels, "mass": masses * u.GeV}) for m in castros]


def _priors(roster, castros):
    """J-factor priors of the targets of the results."""
    from ._lookup import find_targets

    targets = find_targets(roster)
    process = castros[0].process
    priors = {}
    for castro in castros:
        name = castro.meta.target
        found = [t for t in targets if _plain(t.name) == _plain(name)]
        if len(found) != 1:
            known = ", ".join(targets.names)
            raise ValueError(
                f"{castro.meta.origin}: {name!r} is not among the targets of {roster}: {known}."
            )
        priors[name] = found[0].jfactor_prior(process)
    return priors


def _plain(name):
    """Letters and digits: Glory Duck writes Segue1 for segue_1."""
    return "".join(c for c in str(name).lower() if c.isalnum())


COMMANDS = (limits, stack)
