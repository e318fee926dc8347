"""Tables and pictures of the simulated LAT region, with the checks that it is plausible."""

import time

import _lat_response
import astropy.units as u
import numpy as np
from scipy.signal import fftconvolve
from scipy.stats import poisson

SECONDS_PER_YEAR = 365.25 * 86400
PROTOTYPE = "39 thousand of 240 thousand in the prototype's region"
PROTOTYPE_HIGH = "174 above 30 GeV there"


def summary(region):
    """Print what is in the region, and the checks."""
    counts = region.dataset.counts
    data, axis = counts.data, counts.geom.axes["energy"]
    print("# Simulated LAT region\n")
    meta = region.meta
    print(f"{meta['source']} at {meta['position']} deg, log10 J {meta['log10_jfactor']}, ", end="")
    print(f"{meta['years']} years, sigmav {meta['sigmav']:g} cm3 s-1, seed {meta['seed']}")
    _bins(region, axis)
    filled = np.count_nonzero(data)
    print(f"\nvoxels with counts: {filled} of {data.size} ({PROTOTYPE})")
    for edge in axis.edges_min[[14, 15]]:
        high = np.count_nonzero(data[axis.edges_min >= edge])
        print(f"  above {edge:.1f}: {high} ({PROTOTYPE_HIGH})")
    _sources(region)
    _checks(region, axis)
    _times(region)


def _bins(region, axis):
    print("\n## Bins\n\n| E [GeV]         | counts | predicted | pull  | voxels filled | Cash, z |")
    print("|-----------------|--------|-----------|-------|---------------|---------|")
    data, npred = region.dataset.counts.data, region.npred()
    z = cash_z(data, npred)
    for i, (low, high) in enumerate(axis.iter_by_edges):
        n, mu = data[i].sum(), npred[i].sum()
        edges = f"{low.to_value('GeV'):6.2f} - {high.to_value('GeV'):6.2f}"
        print(f"| {edges} | {n:6.0f} | {mu:9.2f} | {(n - mu) / np.sqrt(mu):5.2f} |", end="")
        print(f" {np.count_nonzero(data[i]):13d} | {z[i]:7.2f} |")
    print(f"| all             | {data.sum():6.0f} | {npred.sum():9.2f} |", end="")
    print(f"       | {np.count_nonzero(data):13d} | {cash_z(data[None], npred[None])[0]:7.2f} |")


def cash_z(counts, npred):
    """(stat - its mean) / its standard deviation per bin, of Cash for true Poisson means.

    The first axis is that of the bins. Only -2 n ln(mu) varies, with moments known exactly:
    mean -2 mu ln(mu), variance 4 mu ln(mu)^2. It is about normal where many pixels count.
    """
    axes = tuple(range(1, counts.ndim))
    mu = np.where(npred > 0, npred, 1.0)
    difference = (-2 * (counts - npred) * np.log(mu)).sum(axis=axes)
    return difference / np.sqrt((4 * npred * np.log(mu) ** 2).sum(axis=axes))


def _sources(region):
    free = [p for p in region.models.parameters.free_parameters]
    center = region.dataset.counts.geom.center_skydir
    print(f"\n## Models: {len(region.models)}, free parameters {len(free)}\n")
    print("| model             | spectrum     | sep [deg] | counts  | free      |")
    print("|-------------------|--------------|-----------|---------|-----------|")
    for model in region.models:
        separation = ""
        if model.name not in ("galactic", "isotropic"):
            separation = f"{center.separation(model.position).deg:.2f}"
        counts = region.meta["counts"].get(
            model.name, region.npred().sum() - region.background.sum()
        )
        names = ", ".join(p.name for p in model.parameters.free_parameters)
        tag = model.spectral_model.tag[0].split(".")[-1].removesuffix("SpectralModel")[:12]
        print(f"| {model.name:<17} | {tag:<12} | {separation:>9} | {counts:7.1f} | {names:<9} |")
    extended = ", ".join(region.meta["extended"]) or "none"
    print(f"\nextended sources of the catalog left out: {extended}")


def _checks(region, axis):
    print("\n## Checks\n")
    print(f"| {'what':<64} | {'found':<36} |\n|{'-' * 66}|{'-' * 38}|")
    for what, found in checks(region, axis):
        print(f"| {what:<64} | {found:<36} |")


def checks(region, axis):
    """Pairs of what is checked and what was found."""
    dataset = region.dataset
    energy = _lat_response.ENERGY
    psf = dataset.psf
    for fraction, table in ((0.68, _lat_response.R68), (0.95, _lat_response.R95)):
        inside = (energy > 0.3) & (energy < 500)
        radius = psf.containment_radius(fraction, energy[inside] * u.GeV).to_value("deg")
        worst = np.abs(radius / table[inside] - 1).max()
        yield f"PSF: r{100 * fraction:.0f} against the table", f"worst {100 * worst:.2f} %"
    yield from _edisp_checks(dataset)
    live = _lat_response.EXPOSURE / (
        _lat_response.ACCEPTANCE * 1e4 * SECONDS_PER_YEAR / (4 * np.pi)
    )
    yield (
        "exposure / (acceptance / 4 pi): live fraction of the time",
        f"{live.min():.2f} to {live.max():.2f}",
    )
    yield "isotropic counts against flux x exposure x solid angle", _isotropic(region, axis)
    yield "point sources inside, brightest: counts against flux x exposure", _point(region)
    yield "exposure on the pixels of the counts", _alignment(dataset)
    z = cash_z(dataset.counts.data, region.npred())
    yield "Cash of the bins: mean, width of z", f"{z.mean():+.2f}, {z.std():.2f}"
    yield from _realisation_checks(region)


def _edisp_checks(dataset):
    kernel = dataset.edisp.get_edisp_kernel()
    true = kernel.axes["energy_true"].center.to_value("GeV")
    reco = kernel.axes["energy"].center.to_value("GeV")
    rows = kernel.pdf_matrix
    inside = (true > 1) & (true < 250)
    yield "energy dispersion: sum over rows, 1 to 250 GeV", f"{rows[inside].sum(axis=1).min():.6f}"
    # flat in ln E, a Gaussian of width s leaves bins of width w with probability s sqrt(2/pi) / w
    width = np.log(reco[1] / reco[0])
    i = np.argmin(np.abs(true - 10))
    moved = 1 - rows[i].max() / rows[i].sum()
    sigma = _lat_response.interpolate(true[i], _lat_response.RESOLUTION)
    expected = sigma / width * np.sqrt(2 / np.pi)
    yield (
        "energy dispersion: share that leaves its bin, 10 GeV",
        f"{moved:.4f}, expected {expected:.4f}",
    )
    edges = kernel.axes["energy_true"].edges
    outer = f"{rows[0].sum():.1e} and {rows[-1].sum():.1e}"
    yield f"  seen of the outermost true bins, to {edges[0]:.2f}, {edges[-1]:.0f}", outer


def _isotropic(region, axis):
    model = region.models["isotropic"]
    energy_true = region.dataset.exposure.geom.axes["energy_true"]
    flux = model.spectral_model.integral(energy_true.edges_min, energy_true.edges_max)
    exposure = region.dataset.exposure.quantity[:, 0, 0]
    sky = region.dataset.counts.geom.to_image().solid_angle().sum() / u.sr
    keep = (energy_true.center > axis.edges[0]) & (energy_true.center < axis.edges[-1])
    expected = (flux * exposure * sky)[keep].sum().to_value("")
    return f"{region.meta['counts']['isotropic'] / expected - 1:+.1e}"


def _point(region):
    """Without PSF tails and energy dispersion: what is left is their loss, a few per cent."""
    model = region.models[region.bright[0]]
    energy_true = region.dataset.exposure.geom.axes["energy_true"]
    flux = model.spectral_model.integral(energy_true.edges_min, energy_true.edges_max)
    keep = (energy_true.center > 0.5 * u.GeV) & (energy_true.center < 500 * u.GeV)
    exposure = region.dataset.exposure.quantity[:, 0, 0]
    expected = (flux * exposure)[keep].sum().to_value("")
    return f"{region.meta['counts'][model.name]:.1f} of {expected:.1f} ({model.name})"


def _alignment(dataset):
    counts, exposure = dataset.counts.geom.to_image(), dataset.exposure.geom.to_image()
    pixels = exposure.coord_to_pix(counts.get_coord())
    shift = max(np.abs(p - np.round(p)).max() for p in pixels)
    return f"shift {shift:.0e} pixels"


def _realisation_checks(region, number=50):
    npred = region.npred()
    total, filled, z = [], [], []
    for seed in range(number):
        counts = region.simulate(1000 + seed).data
        total.append(counts.sum())
        filled.append(np.count_nonzero(counts))
        z.append(cash_z(counts, npred))
    pull = (np.mean(total) - npred.sum()) / np.sqrt(npred.sum() / number)
    yield f"counts of {number} realisations: pull of the mean", f"{pull:+.2f}"
    expected = (1 - poisson.pmf(0, npred)).sum()
    found = f"{np.mean(filled):.0f} of {expected:.0f}"
    yield "  voxels with counts: mean, expected from npred", found
    yield "  Cash of the bins: mean, width of z", f"{np.mean(z):+.3f}, {np.std(z):.3f}"


def _times(region):
    start = time.perf_counter()
    for seed in range(5):
        region.simulate(seed)
    simulate = (time.perf_counter() - start) / 5
    start = time.perf_counter()
    region.realisation(0)
    realisation = time.perf_counter() - start
    parts = [f"{name} {seconds:.2f} s" for name, seconds in region.seconds.items()]
    print(f"\ntime: {', '.join(parts)}; simulate {simulate:.3f} s, realisation {realisation:.3f} s")


def plot(region, path):
    """Counts, prediction and residual significance in three bands, and the spectra."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(15, 19))
    grid = figure.add_gridspec(
        4, 3, left=0.06, right=0.96, bottom=0.04, top=0.97, hspace=0.22, wspace=0.3
    )
    axis = region.dataset.counts.geom.axes["energy"]
    image = region.dataset.counts.geom.to_image()
    npred = region.npred()
    bands = [slice(0, 8), slice(8, 16), slice(16, 24)]
    for row, (band, radius) in enumerate(zip(bands, (0.2, 0.3, 0.5), strict=True)):
        n = sum_within(region.dataset.counts.data[band].sum(axis=0), radius)
        mu = sum_within(npred[band].sum(axis=0), radius)
        low, high = axis.edges_min[band][0], axis.edges_max[band][-1]
        where = f"{low.value:.3g} - {high.to_value(low.unit):.3g} GeV, within {radius} deg"
        top = np.quantile(mu, 0.999)
        for column, (values, title) in enumerate(
            ((n, "counts"), (mu, "predicted"), (significance(n, mu), "residual [sigma]"))
        ):
            ax = figure.add_subplot(grid[row, column], projection=image.wcs)
            residual = column == 2
            drawn = ax.imshow(
                values, origin="lower", cmap="RdBu_r" if residual else "inferno",
                vmin=-5 if residual else 0, vmax=5 if residual else top,
            )  # fmt: skip
            figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.02)
            ax.set_title(f"{title}, {where}", fontsize=10)
            for coordinate, side in zip(ax.coords, "bl", strict=True):
                coordinate.set_ticks_position(side)
                coordinate.set_ticklabel_position(side)
                coordinate.set_axislabel_position(side)
                coordinate.set_axislabel("")
            if not residual:
                _mark(region, ax)
    _spectra(region, figure.add_subplot(grid[3, :]), axis)
    figure.savefig(path, dpi=70)
    print(f"\nwritten: {path}")


def sum_within(image, radius):
    """Sum within a radius [deg] around every pixel; nothing lies outside of the image."""
    n = int(np.ceil(radius / 0.1))
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    disk = (np.hypot(x, y) * 0.1 <= radius + 1e-9).astype(float)
    return np.clip(fftconvolve(image, disk, mode="same"), 0, None)


def significance(counts, npred):
    """Signed root of the likelihood ratio of counts for known predictions."""
    counts = np.round(counts)
    ratio = np.where(counts > 0, counts / npred, 1)
    ts = 2 * (counts * np.log(ratio) - (counts - npred))
    return np.sign(counts - npred) * np.sqrt(np.clip(ts, 0, None))


def _mark(region, ax):
    for model in region.models:
        if model.name in ("galactic", "isotropic"):
            continue
        dark = model.name == region.source
        at = {"transform": ax.get_transform("icrs"), "s": 90 if dark else 30}
        position = model.position.icrs
        ax.scatter(
            position.ra.deg, position.dec.deg, marker="*" if dark else "o",
            facecolor="none", edgecolor="cyan" if dark else "white", lw=0.8, **at,
        )  # fmt: skip
    ax.set_xlim(-0.5, 99.5)
    ax.set_ylim(-0.5, 99.5)


def _spectra(region, ax, axis):
    energy = axis.center.to_value("GeV")
    counts = region.dataset.counts.data.sum(axis=(1, 2))
    ax.errorbar(energy, counts, np.sqrt(counts), fmt="k.", label="counts")
    ax.step(energy, region.npred().sum(axis=(1, 2)), where="mid", label="predicted")
    ax.step(
        energy, region.signal.sum(axis=(1, 2)) * 100, where="mid",
        label=f"{region.source}, {region.meta['mass']} {region.meta['channel']}, 1e-24 cm3 s-1",
    )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="Energy [GeV]", ylabel="Counts per bin")
    ax.set_ylim(0.3, None)
    ax.legend()
