"""45 targets with exactly known answers (see the README of the reference data)."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.targets import Target


@pytest.fixture(scope="module")
def truth(test_data):
    with np.load(test_data / "golden" / "truth.npz") as data:
        return dict(data)


def run_castros(test_data, truth, interpolation):
    datasets = []
    for t in range(45):
        target = Target(
            name=f"target_{t:02d}",
            log10_jfactor=float(truth["log10J_obs"][t]),
            log10_jfactor_err=float(truth["sigma_log10J"][t]),
        )
        datasets.append(
            SEDLikelihoodDataset.read(
                test_data / "golden" / "sed" / f"sed_{target.name}_point_null.fits",
                models=target.to_models("100 GeV", "b"),
                interpolation=interpolation,
            )
        )
    estimator = CastroEstimator(
        truth["masses"] * u.GeV,
        [str(c) for c in truth["channels"]],
        spectra=test_data / "golden" / "dm_spectra.fits",
    )
    return estimator.run(datasets)


@pytest.fixture(scope="module")
def castros(test_data, truth):
    return run_castros(test_data, truth, "poisson")


def reference(test_data, name):
    with np.load(test_data / "golden" / f"reference_null_{name}.npz") as data:
        return dict(data)


def compare(result, expected, median, worst):
    """Relative difference, NaN exactly where the reference has it."""
    result = result.data[..., 0, 0]
    assert np.array_equal(np.isnan(result), np.isnan(expected))
    difference = np.abs(result / expected - 1)
    assert np.nanmedian(difference) < median
    assert np.nanmax(difference) < worst


@pytest.mark.parametrize(
    ("method", "name"), [("fixed", "analytic_none"), ("profile", "analytic_lgauss_like")]
)
def test_stack_against_the_exact_likelihood(test_data, castros, method, name):
    expected = reference(test_data, name)
    stack = StackedDMLikelihood(castros, method=method)
    combined = stack.run()
    compare(combined.sigmav_ul, expected["stack_ul95"], 1e-5, 1e-4)
    compare(combined.upper_limit(0.68), expected["stack_ul68"], 1e-5, 1e-4)
    ts = combined.ts.data[..., 0, 0]
    assert np.nanmax(np.abs(ts - expected["stack_ts"])) < 1e-3
    singles = stack.target_maps
    for t, single in enumerate(singles.values()):
        compare(single.sigmav_ul, expected["single_ul95"][t], 1e-5, 1e-4)
        difference = single.ts.data[..., 0, 0] - expected["single_ts"][t]
        assert np.nanmax(np.abs(difference)) < 1e-3


def test_linear_interpolation_against_piecewise_linear_scans(test_data, truth):
    expected = reference(test_data, "scan_none")
    castros = run_castros(test_data, truth, "linear")
    combined = StackedDMLikelihood(castros, method="fixed").run()
    compare(combined.sigmav_ul, expected["stack_ul95"], 1e-3, 5e-3)


def test_marginal_j_against_quadrature(castros, truth, test_data):
    # one target and mass by brute force on the exact likelihood
    t, channel, mass = 7, 3, 6
    castro = castros[t].slice_by_idx({"channel": channel, "mass": mass})
    got = StackedDMLikelihood([castro], method="marginal").run()
    from astropy.io import fits

    table = fits.getdata(test_data / "golden" / "dm_spectra.fits", "SPECDATA")
    eflux = np.asarray(table["ref_eflux"], float).reshape(12, 13, 24)[channel, mass]
    per_sigmav = eflux / truth["ref_eflux"] / 1e-26 * 10 ** truth["log10J_obs"][t] / 1e19
    sigma = truth["sigma_log10J"][t]
    y = np.linspace(-7 * sigma, 7 * sigma, 1401)
    density = np.exp(-0.5 * (y / sigma) ** 2)
    density /= density.sum()

    def stat(s):
        norm = s * 10 ** y[:, None] * per_sigmav
        mu = truth["bkg"][t] + norm * truth["ref_npred"][t]
        value = 2 * (mu - truth["n_null"][t] * np.log(mu)).sum(axis=1)
        return -2 * np.log(np.sum(density * np.exp(-0.5 * (value - value[0])))) + value[0]

    scan = got.sigmav_scan[0, 0].value
    keep = got.delta_stat[0, 0] < 15
    wanted = np.array([stat(s) for s in scan[keep]]) - stat(0.0)
    np.testing.assert_allclose(
        got.delta_stat[0, 0][keep] - got.delta_stat[0, 0, 0], wanted, atol=1e-4
    )
