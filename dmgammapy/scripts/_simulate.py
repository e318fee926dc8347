"""Command that draws SED likelihoods: simulate."""

from pathlib import Path

import click

from ._common import command, log_level_option, log_shown

__all__ = ["COMMANDS"]

TRUTH = "truth.ecsv"
FORMATS = ("fermipy", "gadf", "fermi-lat-dsph")


@command()
@click.argument("files", nargs=-1, required=True, metavar="SED_FILES...",
                type=click.Path(path_type=Path))  # fmt: skip
@click.option("--targets", "roster", required=True, metavar="ROSTER",
              help="Roster or file with the J-factors.")  # fmt: skip
@click.option("--n", "n", type=click.IntRange(1), default=1, show_default=True,
              help="Number of realisations.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="Of the random numbers.")  # fmt: skip
@click.option("--sigmav", metavar="VALUE", help="Injected signal, such as '1e-25 cm3 s-1'.")
@click.option("--mass", default="100 GeV", show_default=True, help="Of the injected particle.")
@click.option("--channel", default="b", show_default=True, help="Of the injected signal.")
@click.option("--spectra", default="pppc4", show_default=True, help="Photon yields.")
@click.option("--expectations", metavar="FILE", type=click.Path(path_type=Path),
              help="Table (ECSV) of the counts expected in each bin: target, background, "
              "npred. Default is to read them off the files.")  # fmt: skip
@click.option("--redraw-jfactor", is_flag=True,
              help="Measure J anew in each realisation, see truth.ecsv.")  # fmt: skip
@click.option("--power-law", is_flag=True,
              help="Take the background of bins that don't know it from a power law, as "
              "likelihoods of maps such as Fermi-LAT's need.")  # fmt: skip
@click.option("--least-counts", type=float,
              help="Bins with fewer counts don't know their background. Default is 0.5, with "
              "--power-law 5.")  # fmt: skip
@click.option("--format", "format", default="fermipy", show_default=True,
              type=click.Choice(FORMATS), help="Of the files.")  # fmt: skip
@click.option("-o", "--output", required=True, metavar="FOLDER", type=click.Path(path_type=Path),
              help="Where the files go; it is made if need be.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@log_level_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
def simulate(files, roster, n, seed, sigmav, mass, channel, output, overwrite, log_level, quiet,
             **options):  # fmt: skip
    r"""Draw SED likelihood files as other experiments would have found them.

    The counts expected are read off the given files, whose target is recognised by the name in the
    file or of the file. Each realisation is drawn for each file: sed_<target>_0000.fits,
    sed_<target>_0001.fits ..., and truth.ecsv has what is true in each.

    \b
    Examples:
      dmgammapy simulate sed_*.fits --targets ackermann2015_dsphs --n 3 --seed 1 -o simulated
      dmgammapy simulate sed_draco.fits --targets ackermann2015_dsphs \
          --sigmav '1e-25 cm3 s-1' --mass '100 GeV' --channel b -o injected
    """
    from dmgammapy.makers import SimulatedDatasetMaker
    from dmgammapy.utils import progress

    with log_shown(log_level):
        datasets = _read(files, roster, mass, channel, options["spectra"])
        maker = SimulatedDatasetMaker(
            seed=seed,
            redraw_jfactor=options["redraw_jfactor"],
            **_expectation(options),
            **_signal(sigmav, mass, channel),
        )
        simulation = maker.prepare(datasets)
        output = output.expanduser()
        _check_new(output, datasets, n, options["format"], overwrite)
        output.mkdir(parents=True, exist_ok=True)
        for i in progress(range(n), "realisations", show=False if quiet else None):
            for dataset in simulation.run(i):
                path = output / _name(dataset.name, i, options["format"])
                dataset.write(path, format=options["format"], overwrite=overwrite)
        _write_truth(simulation, n, output / TRUTH, overwrite)
    if not quiet:
        click.echo(f"{n * len(datasets)} files and {TRUTH} in {output}")


def _expectation(options):
    least, power_law = options["least_counts"], options["power_law"]
    settings = {"undetermined": "power_law"} if power_law else {}
    if least is None and power_law:
        least = 5
    if options["expectations"] is not None:
        settings["expectations"] = _read_expectations(options["expectations"])
    return settings if least is None else settings | {"least_counts": least}


def _read_expectations(path):
    """Expected counts by target."""
    from astropy.table import Table

    from dmgammapy.makers import SEDExpectation

    table = Table.read(path, format="ascii.ecsv")
    missing = {"target", "background", "npred"} - set(table.colnames)
    if missing:
        raise ValueError(f"{path}: no column {', '.join(sorted(missing))}.")
    rows = {name: table[table["target"] == name] for name in dict.fromkeys(table["target"])}
    return {name: SEDExpectation(t["background"], t["npred"]) for name, t in rows.items()}


def _signal(sigmav, mass, channel):
    if sigmav is None:
        return {}
    import astropy.units as u

    try:
        value = u.Quantity(sigmav).to("cm3 s-1")
    except (TypeError, ValueError):
        raise ValueError(
            f"--sigmav: expected a cross-section such as '1e-25 cm3 s-1', got {sigmav!r}."
        ) from None
    return {"sigmav": value, "mass": mass, "channel": channel}


def _read(files, roster, mass, channel, spectra):
    """Datasets with the models of their targets, each named after its target."""
    from dmgammapy.datasets import SEDLikelihoodDataset

    from ._lookup import find_targets

    targets = find_targets(roster)
    datasets, seen = [], {}
    for path in files:
        dataset = SEDLikelihoodDataset.read(path)
        name = _target_of(dataset.name, path, targets, roster)
        if name in seen:
            raise ValueError(f"{path}: the target {name} is that of {seen[name]}, too.")
        seen[name] = path
        models = targets[name].to_models(mass, channel, spectra=spectra, spatial=None)
        dataset = dataset.copy(name=name)
        dataset.models = models
        datasets.append(dataset)
    return datasets


def _target_of(name, path, targets, roster):
    """Name of the target that a file is of."""
    if name in targets.names:
        return name
    stem = path.name.split(".")[0]
    found = [t for t in targets.names if stem == t or stem.endswith(f"_{t}")]
    found = found or [t for t in targets.names if f"_{t}_" in f"_{stem}_"]
    if found:
        return max(found, key=len)
    raise ValueError(
        f"{path}: neither the name in the file ({name!r}) nor that of the file is a target of "
        f"{roster}: {', '.join(targets.names)}."
    )


def _name(target, realisation, format):
    ending = "txt" if format == "fermi-lat-dsph" else "fits"
    return f"sed_{target}_{realisation:04d}.{ending}"


def _check_new(output, datasets, n, format, overwrite):
    """Refuse before anything is computed."""
    if overwrite:
        return
    names = [TRUTH, *(_name(d.name, i, format) for d in datasets for i in range(n))]
    for name in names:
        if (output / name).exists():
            raise FileExistsError(f"{output / name} exists already: replace it with --overwrite.")


def _write_truth(simulation, n, path, overwrite):
    from astropy.table import Table, vstack

    from dmgammapy.utils import atomic_path

    tables = []
    for i in range(n):
        table = Table(simulation.truth(i))
        table.add_column([i] * len(table), index=0, name="realisation")
        tables.append(table)
    truth = vstack(tables, metadata_conflicts="silent")
    truth.meta.pop("realisation", None)
    with atomic_path(path, overwrite) as temporary:
        truth.write(temporary, format="ascii.ecsv")


COMMANDS = (simulate,)
