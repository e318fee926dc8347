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
# # A dwarf from photons to a limit
#
# The other tutorials began with likelihoods or counts. This one begins where the Fermi-LAT's public
# data begin: a list of photons (FT1), and where the telescope pointed (FT2). The Fermi Science
# Tools are not needed.
#
# **The photons here are simulated**, three years of the region around Draco, with a parametrised
# response that resembles `P8R3_SOURCE_V3` and without dark matter, so that nothing has to be
# downloaded. With real files the same lines work; where they differ, it is said. We
#
# 1. simulate the sky and write FT1 and FT2,
# 2. select photons and good times (gtselect, gtmktime),
# 3. compute livetime, exposure, PSF and energy dispersion (gtltcube, gtexpcube2, gtpsf, gtdrm),
# 4. make a dataset of them, in one step,
# 5. model the region, fit it, and look at what the model does not explain,
# 6. extract Draco's castro and limits on $\langle\sigma v\rangle$,
# 7. do it all again by one YAML file.

# %%
import logging
import os
import tempfile
from pathlib import Path

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import Models

from dmgammapy.analysis import DMAnalysis
from dmgammapy.estimators import CastroEstimator, ROIOptimizer, StackedDMLikelihood
from dmgammapy.makers import ROIModelMaker
from dmgammapy.makers.lat import (
    LATDatasetMaker,
    LATEDispMaker,
    LATEventList,
    LATEventSelector,
    LATEventSimulator,
    LATExposureMaker,
    LATGoodTimeSelector,
    LATLivetimeMaker,
    LATOrbitSimulator,
    LATPSFMaker,
    LATResponse,
    LATSpacecraft,
)
from dmgammapy.targets import Targets

plt.rcParams["figure.constrained_layout.use"] = True
os.chdir(tempfile.mkdtemp())
# Gammapy doubts sources outside of the counts; here the exposure reaches farther than these
logging.getLogger("gammapy.datasets.evaluator").setLevel("ERROR")

draco = Targets.read_roster("ackermann2015_dsphs")["draco"]
print(draco)

# %% [markdown]
# ## A simulated sky
#
# Nine point sources with the positions and power laws of 4FGL-DR4 (Ballet et al. 2023,
# arXiv:2307.12546), the last one outside of our region: its photons leak in. The dictionaries are
# those of a fermipy configuration, energies in MeV. For real data, none of this is needed:
# `ROIModelMaker(catalogs="gll_psc_v35.fit", ...)` reads the catalog.

# %%
CATALOG = """\
J1725.5+5851 261.3876 58.8578 1919.96 1.1320e-13 2.1318
J1741.2+5739 265.3226 57.6587 2185.23 2.9130e-14 2.2201
J1708.2+5519 257.0523 55.3241 1319.81 1.5263e-13 2.3823
J1722.6+6104 260.6624 61.0734  570.55 1.0803e-12 2.8489
J1742.5+5944 265.6268 59.7456 1725.34 1.6105e-13 2.1706
J1657.0+6010 254.2575 60.1676  986.60 2.6371e-13 2.4951
J1705.4+5436 256.3652 54.6015 2795.80 2.4947e-14 1.9567
J1740.6+5346 265.1591 53.7701 1894.91 1.2425e-13 2.0509
J1740.5+5211 265.1357 52.1927  506.61 1.5025e-11 2.4701"""
sources = []
for line in CATALOG.splitlines():
    name, *values = line.split()
    numbers = dict(
        zip(["ra", "dec", "Scale", "Prefactor", "Index"], map(float, values), strict=True)
    )
    sources.append({"name": f"4FGL {name}", "SpectrumType": "PowerLaw"} | numbers)
sources[-1]["free"] = False  # its norm; we see too little of it

# %% [markdown]
# Diffuse emission: a Galactic cube that falls off with latitude instead of `gll_iem_v07.fits`,
# and an isotropic table instead of `iso_P8R3_SOURCE_V3_v1.txt`. Both are files, as the real
# ones are.

# %%
energy = np.geomspace(50, 2e6, 10) * u.MeV
axis = MapAxis.from_nodes(energy, interp="log", name="energy_true")
geom = WcsGeom.create(frame="galactic", proj="CAR", binsz=1, width=(360, 180), axes=[axis])
latitude = np.abs(geom.to_image().get_coord().lat)
galactic = Map.from_geom(geom, unit="cm-2 s-1 sr-1 MeV-1")
spectrum = 6e-10 * (energy / u.GeV).to_value("") ** -2.6
galactic.data = spectrum[:, None, None] / np.sin(np.maximum(latitude, 5 * u.deg)).value
galactic.write("galactic.fits")

isotropic = 5.5e-10 * (energy / u.GeV).to_value("") ** -2.35
np.savetxt("isotropic.txt", np.transpose([energy.value, isotropic, 0 * isotropic]))

# %% [markdown]
# The truth is what the model of the region says, but with one variable source three times as bright
# as in the catalog. The fit will have to find out.

# %%
region = WcsGeom.create(
    skydir=draco.position, width=8, binsz=0.25, proj="TAN",
    axes=[MapAxis.from_energy_bounds("100 MeV", "1 TeV", nbin=4)],
)  # fmt: skip
model_maker = ROIModelMaker(sources=sources, diffuse="galactic.fits", isotropic="isotropic.txt")
catalog = model_maker.run(region)
truth = catalog.copy()
truth["4FGL J1742.5+5944"].spectral_model.amplitude.value *= 3
print(truth.names)

# %% [markdown]
# The spacecraft circles on an orbit that turns slowly, and rocks; rows of 120 s (the real files
# have 30 s) keep this short. Then photons are drawn with the effective area at the inclination they
# arrive at, and smeared by PSF and energy dispersion.

# %%
response = LATResponse.parametrised()
spacecraft = LATOrbitSimulator(cadence="120 s").run(duration="3 yr")
simulator = LATEventSimulator(response, spacecraft, energy_min="1 GeV", energy_max="500 GeV")
events = simulator.run(truth, draco.position, radius="7 deg", seed=2)
events.write("photons.fits")
spacecraft.write("spacecraft.fits")
print(response)

# %% [markdown]
# ## Events and good times
#
# From here on there are two files, of which we forget where they came from. The LAT team's server
# (https://fermi.gsfc.nasa.gov/ssc/data/access/) gives files of the same form for a position and
# a radius; `@list.txt` is a list of files. What has been cut already stands in the header (DSS
# keywords); cuts can only become narrower.

# %%
events = LATEventList.read("photons.fits")
print(events)
print(LATSpacecraft.read("spacecraft.fits"))

# %%
selector = LATEventSelector(
    event_class="SOURCE", energy_min="1 GeV", energy_max="500 GeV", zenith_max="90 deg"
)
selected = selector.run("photons.fits")
good = LATGoodTimeSelector("DATA_QUAL>0 && LAT_CONFIG==1").run(selected, "spacecraft.fits")
print(f"{len(events)} events, {len(selected)} after the cuts, {len(good)} in good times")
print(f"good time: {good.ontime.to('yr'):.2f} in {len(good.gti)} intervals")

# %% [markdown]
# ## Livetime, exposure, PSF
#
# How long was each direction seen, and at which angle $\theta$ from the LAT's axis? That is the
# livetime cube; all that follows is averaged with it. The zenith cut is that of the events.

# %%
livetime = LATLivetimeMaker(nside=32, position=draco.position, radius=12 * u.deg).run(
    good, "spacecraft.fits"
)
print(livetime)
livetime.plot(position=draco.position)
plt.title("Draco, three simulated years")
plt.show()

# %% [markdown]
# There are two humps: the LAT rocks north and south on alternate orbits, and Draco is far in the
# north. Exposure is livetime times effective area. With real data, the response is read from
# the calibration files: `LATResponse.read("P8R3_SOURCE_V3", caldb="...")`.

# %%
energies = MapAxis.from_energy_bounds("0.5 GeV", "1000 GeV", nbin=26, name="energy_true")
exposure = LATExposureMaker(response).run(
    livetime, WcsGeom.create(skydir=draco.position, width=8, binsz=0.5, axes=[energies])
)
psf = LATPSFMaker(response).run(livetime, draco.position, energies)
measured = MapAxis.from_energy_bounds("1 GeV", "500 GeV", nbin=22, name="energy")
edisp = LATEDispMaker(response).run(livetime, draco.position, measured, energies)

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8))
at_draco = exposure.get_by_coord({"skycoord": draco.position, "energy_true": energies.center})
left.semilogx(energies.center.to_value("GeV"), at_draco)
left.set(xlabel="True energy [GeV]", ylabel="Exposure [cm$^2$ s]", title="Draco")
left.set_ylim(0)
for fraction in (0.68, 0.95):
    radius = psf.containment_radius(fraction, energies.center, position=draco.position)
    label = f"{100 * fraction:.0f} % containment"
    middle.loglog(energies.center.to_value("GeV"), radius.to_value("deg"), label=label)
middle.set(xlabel="True energy [GeV]", ylabel="Radius [deg]", title="PSF")
middle.legend()
edisp.get_edisp_kernel(position=draco.position).plot_matrix(ax=right)
right.set(xlabel="True energy [GeV]", ylabel="Measured energy [GeV]", title="Energy dispersion")
plt.show()

# %% [markdown]
# ## All of it in one step
#
# `LATDatasetMaker` does the steps above and bins the photons: one Gammapy `MapDataset` for each
# event type. With real data one writes `irfs="P8R3_SOURCE_V3"`, and for instance
# `event_types=["PSF0", "PSF1", "PSF2", "PSF3"]`, in the place of `response`. The exposure reaches
# beyond the region, for sources outside.

# %%
dataset_maker = LATDatasetMaker(
    position=draco.position,
    width=8 * u.deg,
    binsz=0.25 * u.deg,
    energy_min=1 * u.GeV,
    energy_max=500 * u.GeV,
    response=response,
)
print(dataset_maker)
datasets = dataset_maker.run("photons.fits", "spacecraft.fits", livetime)
dataset = datasets[0]
print(f"{dataset.counts.data.sum():.0f} counts in {dataset.name}")
image = dataset.counts.sum_over_axes().smooth(0.25 * u.deg)
ax = image.plot(stretch="sqrt", add_cbar=True, kwargs_colorbar={"label": "Counts per pixel"})
ax.set_title("Photons from 1 to 500 GeV, smoothed by 0.25 deg")
plt.show()

# %% [markdown]
# ## The region
#
# The models are those of the catalog; the table tells what was taken and why. Isotropic emission
# passes neither PSF nor energy dispersion: the table was fitted to measured quantities.

# %%
models, table = model_maker.run(datasets, return_table=True)
table["name", "kind", "separation", "spectral", "status"]

# %% [markdown]
# Draco itself joins them. Mass and channel are placeholders until all of them are scanned; its
# cross-section is fitted with the rest.

# %%
datasets.models = Models([*models, *draco.to_models(mass="100 GeV", channel="b")])

# %% [markdown]
# Fit as fermipy's `optimize` does: the brightest norms together, each other norm alone, shapes of
# significant sources, then all that is free together. The first three steps fit also what is frozen
# in the models; the source outside of the region is to stay as it is (`skip`).

# %%
fit = ROIOptimizer(skip=["4FGL J1740.5+5211"]).run(datasets)
print(fit)
found = fit.to_table()["name", "norm", "norm_err", "ts", "npred", "separation"]
for column, text in {"norm": ".2e", "norm_err": ".1e", "ts": ".1f", "npred": ".1f"}.items():
    found[column].format = text
found["separation"].format = ".2f"
found

# %% [markdown]
# The source that was three times as bright has been found to be so:

# %%
name = "4FGL J1742.5+5944"
for label, region_models in {"catalog": catalog, "true": truth, "fitted": fit.models}.items():
    flux = region_models[name].spectral_model.integral(1 * u.GeV, 100 * u.GeV)
    print(f"{label:8} {flux.to('cm-2 s-1'):.2e}, 1 to 100 GeV")

# %% [markdown]
# Counts, residuals smoothed with the PSF in units of their standard deviation, and how often each
# value occurs. The residuals of a good model are a unit Gaussian.

# %%
wcs = dataset.counts.geom.wcs
fig = plt.figure(figsize=(12, 4.5))
fit.plot_counts_map(ax=fig.add_subplot(121, projection=wcs))
fit.plot_residual_map(ax=fig.add_subplot(122, projection=wcs), markers={"Draco": draco.position})
plt.show()
fit.plot_significance_histogram()
plt.show()

# %%
fit.plot_counts_spectrum()
plt.show()

# %% [markdown]
# Far from the Galactic plane, Galactic and isotropic emission are hard to tell apart: the fit knows
# their sum better than each.

# %%
fit.plot_correlation("isodiff", n_max=6)
plt.show()

# %% [markdown]
# The fit, its models with covariance and the datasets go to one file.

# %%
fit.write("draco_roi.zip")

# %% [markdown]
# ## The castro, and limits
#
# For every mass and channel the signal is fitted to all counts, with the norms of sources and
# diffuse emission profiled (`method="direct"`). The SED shows what the data say of Draco's flux in
# each energy bin.

# %%
masses = np.geomspace(6, 1e4, 25) * u.GeV
estimator = CastroEstimator(masses, ["b", "tau"], method="direct")
estimator.estimate_sed(dataset).plot()
plt.title("Draco: likelihood of the flux in each energy bin")
plt.show()

# %% [markdown]
# $J$ is known to 0.16 dex. Profiled over it, limits become weaker.

# %%
castro = estimator.run(dataset)
profiled = StackedDMLikelihood(castro).run()
fixed = StackedDMLikelihood(castro, method="fixed").run()
ax = profiled.plot_limits(channel="b", label="J profiled")
limit = fixed.sigmav_ul.quantity[0, :, 0, 0]
ax.plot(masses, limit, ":", color="0.3", label="J fixed, $b\\bar{b}$", zorder=1)
ax.legend()
ax.set_title("Draco, three simulated years without dark matter")
plt.show()
print(f"largest TS of all masses and channels: {np.nanmax(castro.ts.data):.1f}")

# %% [markdown]
# What would be expected without a signal? `simulations` in the configuration below would tell, or
# quickly `bands: asimov`, as in tutorials 1 and 5.
#
# ## One YAML file
#
# The same from a configuration: files, region and masses. Every step is kept in the results, and
# done again only if what it depends on has changed. `irfs: parametrised` stands where real data
# have `irfs: P8R3_SOURCE_V3` and `caldb: ...`, and the sources would be those of
# `catalogs: gll_psc_v35.fit`.

# %%
listed = "\n".join(f"        - {source}" for source in sources)
CONFIG = f"""\
targets: {{roster: ackermann2015_dsphs, select: [draco]}}
datasets:
  fermi-lat:
    photons:
      ft1: photons.fits
      ft2: spacecraft.fits
      irfs: parametrised
      width: 8 deg
      binsz: 0.25 deg
      energy_min: 1 GeV
      energy_max: 500 GeV
    region:
      diffuse: galactic.fits
      isotropic: isotropic.txt
      radius: 15 deg
      sources:
{listed}
channels: [b, tau]
masses: {{min: 6 GeV, max: 10 TeV, n: 25}}
jfactor: [profile, fixed]
plots: {{channels: [b], kinds: [jfactor_treatments]}}
"""
path = Path("draco.yaml")
path.write_text(CONFIG)
print(CONFIG.split("sources:")[0])

# %%
analysis = DMAnalysis.read(path)
analysis.run()
analysis.status()

# %% [markdown]
# Limits, a figure and a report are in the folder `results`. The limits are those from above but for
# a little: there, shapes of sources were fitted with Draco among the models, here before it came.

# %%
ratio = analysis.results["stack"].sigmav_ul.data / profiled.sigmav_ul.data
print(f"pipeline / step by step: {ratio.min():.4f} to {ratio.max():.4f}")

# %% [markdown]
# What differs with real photons, where to get them, and what each step was checked against is told
# in the page "LAT without the Science Tools" of the documentation; who comes from fermipy finds all
# names in "LAT: from fermipy".
