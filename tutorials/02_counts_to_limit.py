# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From counts to a limit
#
# The first tutorial began with published likelihoods. This one begins with counts: a Gammapy
# `MapDataset` of a dwarf spheroidal galaxy, with a background model, a neighbouring source, a point
# spread function and energy dispersion. All of it is simulated here, nothing is downloaded.
#
# 1. simulate and look at the region,
# 2. fit the background and check the fit,
# 3. extract the likelihood of every energy bin (the castro picture),
# 4. turn it into limits on $\langle\sigma v\rangle$, and compare with the direct fit to all counts,
# 5. see what the treatment of the background does,
# 6. replace the point by an extended halo,
# 7. inject a signal and find it again,
# 8. move the source over a map.

# %%
import tempfile
from pathlib import Path

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from astropy.convolution import Tophat2DKernel
from astropy.coordinates import SkyCoord
from astropy.table import Table
from gammapy.datasets import MapDataset
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import MapAxis, WcsGeom
from gammapy.modeling import Fit
from gammapy.modeling.models import (
    FoVBackgroundModel,
    PointSpatialModel,
    PowerLawNormSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
)
from gammapy.stats import CashCountsStatistic
from scipy.stats import norm as gaussian

from dmgammapy.datasets import CountsLikelihood
from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.spectra import channel_latex
from dmgammapy.targets import Halo, Targets
from dmgammapy.visualization.cube import plot_sky_image

plt.rcParams["figure.constrained_layout.use"] = True

# %% [markdown]
# ## The region
#
# The target is Draco with an NFW halo (Martinez 2015), from which `Halo` computes $J$. We take its
# uncertainty to be 0.16 dex, a Gaussian in $\log_{10}J$; the limits below hold it fixed unless they
# say otherwise.

# %%
draco = Targets.read_roster("martinez2015_nfw")["draco"]
halo = Halo.from_target(draco)
draco = draco.copy(log10_jfactor=np.log10(halo.jfactor().value), log10_jfactor_err=0.16)
print(draco)

# %% [markdown]
# The instrument resembles a Cherenkov telescope array after 100 hours: an effective area that rises
# steeply at low energy, a Gaussian PSF and an energy resolution of 20 % at the threshold, 8 % at
# high energy.

# %%
energy = MapAxis.from_energy_bounds("0.1 TeV", "30 TeV", nbin=12)
energy_true = MapAxis.from_energy_bounds("0.03 TeV", "100 TeV", nbin=42, name="energy_true")
geom = WcsGeom.create(skydir=draco.position, width=3, binsz=0.06, proj="TAN", axes=[energy])


def make_dataset(name):
    """Dataset without counts and models."""
    dataset = MapDataset.create(geom, energy_axis_true=energy_true, name=name)
    e = energy_true.center.to_value("TeV")
    area = 1e10 / (1 + (e / 0.25) ** -2.5) * u.cm**2
    exposure = (area * 100 * u.h).to("cm2 s")
    dataset.exposure.quantity = exposure[:, None, None] * np.ones(dataset.exposure.data.shape)
    dataset.psf = PSFMap.from_gauss(energy_true, sigma=0.05 * (1 + (e / 0.2) ** -0.7) * u.deg)
    sigma = 0.08 + 0.12 * (e / 0.1) ** -0.5
    dataset.edisp = EDispKernelMap.from_gauss(energy, energy_true, sigma=sigma, bias=0)
    offset = geom.to_image().separation(draco.position).to_value("deg")
    counts = 25 * (energy.center.to_value("TeV") / 0.1) ** -1.6
    dataset.background.data[:] = counts[:, None, None] * np.exp(-0.5 * (offset / 1.8) ** 2)
    dataset.mask_safe.data[:] = True
    return dataset


dataset = make_dataset("ctao-like")

# %% [markdown]
# The models: a neighbour at 0.33 degrees, the background with a free norm and tilt, and the target.
# `to_models` makes a sky model with a `DarkMatterSpectralModel` and the prior of J; its mass and
# channel are placeholders that the scans below replace. We simulate without dark matter.

# %%
place = SkyCoord(draco.position.ra + 0.5 * u.deg, draco.position.dec + 0.2 * u.deg)
neighbour = SkyModel(
    PowerLawSpectralModel(index=2.4, amplitude="2e-13 cm-2 s-1 TeV-1"),
    PointSpatialModel.from_position(place),
    name="neighbour",
)
neighbour.spatial_model.parameters.freeze_all()
background = FoVBackgroundModel(
    spectral_model=PowerLawNormSpectralModel(), dataset_name=dataset.name
)
background.spectral_model.tilt.frozen = False
source = draco.to_models(mass="1 TeV", channel="b")[0]
source.spectral_model.sigmav.value = 0

dataset.models = [neighbour, background, source]
dataset.fake(random_state=42)
print(f"{dataset.counts.data.sum():.0f} counts in {dataset.counts.data.size} voxels")

# %%
image = dataset.counts.sum_over_axes(keepdims=False).smooth(0.06 * u.deg)
plot_sky_image(
    image.data, image.geom.wcs, label="Counts per pixel, smoothed", log=True,
    markers={"Draco": draco.position, "neighbour": place}, title="0.1 - 30 TeV",
)  # fmt: skip
plt.show()

# %% [markdown]
# ## Fit of the background
#
# `CountsLikelihood` predicts the counts of every component once and then solves for the norms by
# Newton's method with exact derivatives; what is not a norm (here an index and a tilt) is fitted
# around them. `fit` leaves the models alone, `update_models` writes values, errors and covariance
# into them. Here without signal, beside Gammapy's `Fit` from the same start. Our errors come from
# the second derivatives at the minimum, Minuit approximates these.

# %%
by_gammapy = dataset.copy(name=dataset.name)
by_gammapy.models = dataset.models.copy()
by_gammapy.models["draco"].parameters["sigmav"].frozen = True
minuit = Fit().run([by_gammapy])

likelihood = CountsLikelihood.from_datasets(dataset)
fit = likelihood.fit(norm=0)
likelihood.update_models(fit)

rows = []
for model in by_gammapy.models:
    for p in model.parameters.free_parameters:
        q = dataset.models[model.name].parameters[p.name]
        rows.append((f"{model.name}.{p.name}", str(p.unit), p.value, p.error, q.value, q.error))
names = ["parameter", "unit", "Gammapy", "error", "dmgammapy", "error of it"]
table = Table(rows=rows, names=names)
for name in names[2:]:
    table[name].format = ".4g"
assert np.allclose([row[2] for row in rows], [row[4] for row in rows], rtol=0.01)
print(f"-2 ln L: Gammapy {minuit.total_stat:.4f}, dmgammapy {fit.stat:.4f}")
table

# %% [markdown]
# Are the residuals noise? The map sums energies and pixels within 0.1 degrees. The histogram takes
# independent cells, 2 x 2 pixels in one energy bin, with more than 10 expected counts.


# %%
def sqrt_ts(counts, expected):
    """Significance of an excess over what is expected, signed."""
    return CashCountsStatistic(counts, expected).sqrt_ts


disk = Tophat2DKernel(float(0.1 * u.deg / geom.pixel_scales[0]))
counts, expected = (
    m.sum_over_axes(keepdims=False).convolve(disk.array) for m in (dataset.counts, dataset.npred())
)
residual = sqrt_ts(counts.data, expected.data)

cells = dataset.counts.downsample(2).data, dataset.npred().downsample(2).data
pulls = sqrt_ts(*cells)[cells[1] > 10]

figure = plt.figure(figsize=(10, 4))
ax = figure.add_subplot(121, projection=geom.to_image().wcs)
plot_sky_image(
    residual, geom.to_image().wcs, ax, label=r"Residual $\sqrt{\mathrm{TS}}$", vmin=-3, vmax=3,
    markers={"Draco": draco.position, "neighbour": place},
)  # fmt: skip
ax = figure.add_subplot(122)
edges = np.linspace(-4, 4, 33)
ax.hist(pulls, edges, density=True, color="0.8", edgecolor="0.4", label=f"{len(pulls)} cells")
ax.plot(edges, gaussian.pdf(edges), color="black", label="unit Gaussian")
ax.set(xlabel=r"Residual $\sqrt{\mathrm{TS}}$", ylabel="Probability density")
ax.legend()
plt.show()
print(f"mean {pulls.mean():+.3f}, standard deviation {pulls.std():.3f}")

# %% [markdown]
# ## Castro
#
# Index and tilt are known well enough: hold them from now on, so that what stays free are the norms
# of the neighbour and of the background. (Left free, bins would hold them, and `method="direct"`
# would fit them anew at every scan point, which takes much longer.)

# %%
dataset.models["neighbour"].spectral_model.index.frozen = True
dataset.models[background.name].spectral_model.tilt.frozen = True

# %% [markdown]
# `CastroEstimator` is set up with masses and channels. `estimate_sed` is its first half: the
# likelihood of the flux from Draco in every energy bin, the background norms profiled at each flux.

# %%
masses = [0.2, 0.3, 0.5, 0.8, 1.2, 2, 3, 5, 8, 12, 20, 30, 50] * u.TeV
channels = ["b", "tau"]
estimator = CastroEstimator(masses=masses, channels=channels)
sed = estimator.estimate_sed(dataset)
print(sed.meta["background"])
ax = sed.plot()
ax.set_title("Draco, simulated without signal")
plt.show()

# %% [markdown]
# The 95 % limits of the bins: the norm of the reference spectrum, a power law of index 2, times its
# energy flux.

# %%
points = sed.to_flux_points(cl=0.95)
eflux_ul = points.norm_ul.data[:, 0, 0] * sed.ref("eflux").to("MeV cm-2 s-1")
low, high = sed.energy_edges[:-1].to("GeV"), sed.energy_edges[1:].to("GeV")
sqrt_ts_bins = np.sqrt(points.ts.data[:, 0, 0])
table = Table([low, high, eflux_ul, sqrt_ts_bins], names=["e_min", "e_max", "eflux_ul", "sqrt_ts"])
for name, form in zip(table.colnames, [".0f", ".0f", ".2e", ".2f"], strict=True):
    table[name].format = form
table

# %% [markdown]
# ## Limits
#
# `run` does both halves. With `method="bins"`, the default, it adds up the castro's bins for every
# mass and channel. With `method="direct"` every mass and channel is folded with the response and
# fitted to all counts at once.


# %%
def limits(castro, channel):
    """Upper limits of one channel [cm3 s-1], by mass."""
    return castro.slice_by_coord({"channel": channel}).sigmav_ul.quantity[0, :, 0, 0]


bins = estimator.run(dataset)
direct = CastroEstimator(masses=masses, channels=channels, method="direct").run(dataset)
print(bins)

# %%
figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(6.4, 6), height_ratios=[2.5, 1])
for channel, color, marker in [("b", "black", "o"), ("tau", "0.55", "s")]:
    one, two = limits(bins, channel), limits(direct, channel)
    style = {"color": color, "marker": marker, "markersize": 5}
    label = channel_latex(channel)
    top.plot(masses, two, "-", label=f"{label}, direct", **style)
    top.plot(masses, one, "--", mfc="white", label=f"{label}, bins", **style)
    bottom.plot(masses, one / two, "--", mfc="white", **style)
top.set(yscale="log", ylabel=r"95 % limit on $\langle\sigma v\rangle$ [cm$^3$ s$^{-1}$]")
top.legend()
bottom.axhline(1, color="0.7", linewidth=1, zorder=0)
bottom.set(xscale="log", xlabel="Mass [TeV]", ylabel="bins / direct")
plt.show()

# %% [markdown]
# They differ for two reasons.
#
# * Inside a bin, and for what energy dispersion carries into it, `bins` knows only the reference
#   spectrum. Counts that migrate are those of an $E^{-2}$ power law without end, not those of a
#   spectrum that falls steeply towards its mass. This matters most at low masses, where all the
#   signal lies in the few bins above the threshold, over which the effective area rises.
# * `bins` profiles the background norms in each bin, `direct` has one norm for all energies.
#
# To see that there is no third: hold the background, and give `bins` a reference spectrum nearer to
# the signal, in the end the signal itself. (That one works only for masses beyond the last bin, as
# the reference must have flux in all of them.)

# %%
fixed = {"masses": masses, "channels": "b", "free_background": "fixed"}
two = limits(CastroEstimator(method="direct", **fixed).run(dataset), "b")
references = {f"index {n}": PowerLawSpectralModel(index=n) for n in (2, 3)}
references["b at 50 TeV"] = draco.to_models(mass="50 TeV", channel="b")[0].spectral_model
table = Table({"mass": masses})
for name, reference in references.items():
    one = limits(CastroEstimator(reference_model=reference, **fixed).run(dataset), "b")
    table[name] = (one / two).value
    table[name].format = ".4f"
assert np.isclose(table["b at 50 TeV"][-1], 1, rtol=1e-3)
print("limit of bins / limit of direct, channel b, background fixed")
table[[0, 2, 6, 12]]

# %% [markdown]
# ## Background
#
# Which norms are profiled is up to `free_background`: those that are free in the models
# (`"free"`), none (`"fixed"`), those of named models, or those of sources within an angle.
# `cov_scale=1` lets them vary in every bin, but with Gaussian priors as wide as the errors of a fit
# to all energies; 5 makes the priors five times wider.
#
# The J-factor is fixed in all of these. Its likelihood travels with the result and is profiled when
# targets are combined; `StackedDMLikelihood` takes a single one, too.

# %%
treatments = {
    "fixed": {"free_background": "fixed"},
    "only the neighbour": {"free_background": ["neighbour"]},
    "cov_scale = 1": {"cov_scale": 1},
    "cov_scale = 5": {"cov_scale": 5},
    "free": {},
}
results = {
    name: CastroEstimator(masses=masses, channels=channels, **options).run(dataset)
    for name, options in treatments.items()
}
results["free, J profiled"] = StackedDMLikelihood([results["free"]]).run()
shown = [0, 4, 8, 12]
table = Table({"background": list(results)})
for k in shown:
    table[f"b, {masses[k]:g}"] = u.Quantity([limits(c, "b")[k] for c in results.values()])
    table[f"b, {masses[k]:g}"].format = ".3e"
table

# %% [markdown]
# ## Extended
#
# Draco is larger than a point for such an instrument: 68 % of its $J$ comes from within 0.09
# degrees, about the width of the PSF. `to_spatial_model` makes a template that integrates to 1 over
# its map, and says which $J$ lies in that map. This $J$ goes into the spectral model, and only
# there: a template in units of $J$ together with `log10_jfactor` would count it twice, and the $J$
# of the whole halo with a template that holds a part of it would predict too much.

# %%
filename = Path(tempfile.mkdtemp()) / "draco.fits"
template, jfactor = halo.to_spatial_model(geom=geom.to_image(), filename=filename)
print(f"68 % of J within {halo.containment_radius(0.68):.3f}")
print(f"J of the whole halo     {halo.jfactor():.3e}")
print(f"in the template, 3 deg  {jfactor:.3e}")
print(f"within 0.1 deg          {halo.jfactor(0.1 * u.deg):.3e}")

in_template = draco.copy(log10_jfactor=np.log10(jfactor.value))
spectrum = in_template.to_models(mass="1 TeV", channel="b", spatial=None)[0].spectral_model
others = [model for model in dataset.models if model.name != "draco"]
extended = dataset.copy(name=dataset.name)
extended.models = [*others, SkyModel(spectrum, template, name="draco")]
wide = estimator.run(extended)

# what 1e-24 cm3 s-1 at 1 TeV would give
figure = plt.figure(figsize=(10, 4))
for k, (title, data) in enumerate({"point": dataset, "extended": extended}.items()):
    view = geom.to_image().cutout(draco.position, 1.2 * u.deg)
    ax = figure.add_subplot(1, 2, k + 1, projection=view.wcs)
    shown_data = data.copy(name=data.name)
    shown_data.models = data.models.copy()
    shown_data.models["draco"].parameters["sigmav"].value = 1e-24
    npred = shown_data.npred_signal(["draco"]).sum_over_axes(keepdims=False)
    title = f"{title}: {npred.data.sum():.1f} counts"
    npred = npred.cutout(draco.position, 1.2 * u.deg)
    plot_sky_image(
        npred.data.clip(0), npred.geom.wcs, ax, label="Expected counts per pixel", vmax=6,
        markers={"neighbour": place}, title=title,
    )  # fmt: skip
plt.show()

table = Table({"mass": masses})
for channel in channels:
    point = limits(bins, channel)
    table[f"{channel}, point"] = point
    table[f"{channel}, extended"] = limits(wide, channel)
    table[f"{channel}, ratio"] = (limits(wide, channel) / point).value
for name in table.colnames[1:]:
    table[name].format = ".2f" if "ratio" in name else ".2e"
table[shown]

# %% [markdown]
# The limits are weaker, since the signal is spread over more background. Treating Draco as a point
# would have claimed too much.
#
# ## An injected signal
#
# Mass 3 TeV, channel b and a cross-section about twice the limit. The direct scan should find it:

# %%
truth = 2e-24 * u.Unit("cm3 s-1")
signal = dataset.copy(name=dataset.name)
signal.models = [*others, *draco.to_models(mass="3 TeV", channel="b", sigmav=truth)]
signal.fake(random_state=7)
found = CastroEstimator(masses=masses, channels=channels, method="direct").run(signal)

ax = found.plot_stat(channel="b")
ax.plot(3000, truth.value, "*", color="white", markeredgecolor="black", markersize=15)
ax.annotate("injected", (3000, truth.value), (10, -14), textcoords="offset points", color="white")
plt.show()

# %%
best = found.slice_by_coord({"channel": "b", "mass": 3 * u.TeV})
low, high = (m.quantity.squeeze() for m in best.interval(cl=0.6827))
print(f"injected  {truth:.2e}, 3 TeV, b")
print(f"found     {best.sigmav.quantity.squeeze():.2e}, 68 % interval {low:.2e} to {high:.2e}")
print(f"TS        {best.ts.data.squeeze():.1f}")

table = Table({"mass": masses})
for k, channel in enumerate(channels):
    table[f"TS, {channel}"] = found.ts.data[k, :, 0, 0]
    table[f"TS, {channel}"].format = ".1f"
table

# %% [markdown]
# TS is highest near the right mass, but tau at 0.8 TeV fits as well as b at 3 TeV: a single
# spectrum hardly tells channels apart.
#
# The same from the fit at the injected mass, with the errors of signal and background:

# %%
likelihood = CountsLikelihood.from_datasets(signal)
fit = likelihood.fit()
for name, p in zip(
    likelihood.names, [likelihood.parameter, *likelihood.norm_parameters], strict=True
):
    print(f"{name:20s} {fit.values[name]:9.4g} +- {fit.errors[name]:.2g} {p.unit}")

# %% [markdown]
# ## Map
#
# `estimate_cube` moves a point source over the pixels of a map and keeps the castro of each;
# `dark_matter_maps` converts them. Left: TS in the simulation with signal. Right: the limit in the
# one without, if a halo with Draco's $J$ were at that pixel; it is worse around the neighbour.

# %%
small = WcsGeom.create(skydir=draco.position, npix=11, binsz=0.08, proj="TAN")
cube = estimator.estimate_cube(dataset, small)
maps, maps_signal = (
    c.dark_matter_maps([3] * u.TeV, ["b"], log10_jfactor=draco.log10_jfactor)
    for c in (cube, estimator.estimate_cube(signal, small))
)

places = {"Draco": draco.position, "neighbour": place}
figure = plt.figure(figsize=(10.5, 4))
ax = figure.add_subplot(121, projection=small.wcs)
maps_signal.plot(3 * u.TeV, "b", name="ts", ax=ax, target=places, vmin=0)
ax = figure.add_subplot(122, projection=small.wcs)
maps.plot(3 * u.TeV, "b", ax=ax, target=places)
plt.show()

# %% [markdown]
# The pixel at Draco is the limit from above, and any pixel's castro is a dataset like the one we
# began with:

# %%
center = maps.sigmav_ul.quantity[0, 0, 5, 5]
print(f"map {center:.4e}, castro {limits(bins, 'b')[6]:.4e}")
assert np.isclose(center, limits(bins, "b")[6], rtol=1e-3)
print(cube.get_dataset(draco.position))
