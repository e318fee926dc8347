"""What is given to a maker has an effect, or is refused."""

import logging

import astropy.units as u
import numpy as np
import pytest
from gammapy.modeling.models import SkyModel
from numpy.testing import assert_allclose

from dmgammapy.estimators import JFactorCovariance
from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker
from dmgammapy.modeling import DarkMatterSpectralModel, JFactorPrior
from dmgammapy.targets import Target
from tests.datasets.counts_helpers import TARGET, map_dataset, on_off_dataset
from tests.datasets.sed_helpers import BACKGROUND, SIGNAL, poisson_dataset

EXPECTATION = SEDExpectation(BACKGROUND, SIGNAL)


def make(name="dwarf", width=0.3, **kwargs):
    target = Target(name, log10_jfactor=18.8, log10_jfactor_err=width)
    return poisson_dataset(name, models=target.to_models("100 GeV", "b"), **kwargs)


def maker(seed=3, **kwargs):
    return SimulatedDatasetMaker(
        seed,
        **(
            {"expectations": {"dwarf": EXPECTATION, "other": EXPECTATION}, "redraw_jfactor": True}
            | kwargs
        ),
    )


# ---- signals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mass", "channel", "message"),
    [
        # masses of the particles from the Review of Particle Physics
        ("60 GeV", "W", "'dwarf': channel 'W' has no spectrum at mass 60.0 GeV, its.* 80.3"),
        ("100 GeV", {"b": 0.5, "t": 0.5}, "channel 't' has no spectrum .* threshold is 17[23]"),
    ],
)
def test_a_mass_below_the_threshold(mass, channel, message):
    with pytest.raises(ValueError, match=message):
        maker(sigmav="1e-25 cm3 s-1", mass=mass, channel=channel).run(make())


def test_a_decay_needs_twice_the_mass():
    target = Target("dwarf", log10_dfactor=17.5, log10_dfactor_err=0.2)
    dataset = poisson_dataset("dwarf", models=target.to_models("1 TeV", "b", process="decay"))
    with pytest.raises(ValueError, match="channel 'W' has no spectrum .* threshold is 160.* GeV"):
        maker(gamma="1e-26 s-1", mass="120 GeV", channel="W").run(dataset)


def test_a_signal_outside_of_all_energies():
    # no photon is above the mass of 8 GeV, and the first bin with a mask begins at 9 GeV
    masked = make(mask_safe=np.array([False, False, True, True]))
    with pytest.raises(ValueError, match="b at 8.0 GeV\\) predicts no counts in any of the data"):
        maker(sigmav="1e-25 cm3 s-1", mass="8 GeV").run(masked)
    # one dataset that sees it is enough
    other = make("other")
    simulation = maker(sigmav="1e-25 cm3 s-1", mass="8 GeV").prepare([masked, other])
    truth = simulation.truth()["npred_signal"]
    assert truth[0] == 0
    assert truth[1] > 0


# ---- what goes by name ---------------------------------------------------------------------------


def test_a_covariance_of_others():
    other = JFactorCovariance(["foo", "bar"], [[0.04, 0.01], [0.01, 0.09]])
    with pytest.raises(ValueError, match="\\['bar', 'foo'\\], which are none of .* \\['dwarf'\\]"):
        maker(jfactor_covariance=other).prepare(make())
    partly = JFactorCovariance(["foo", "dwarf"], [[0.04, 0.03], [0.03, 0.09]])
    drawn = maker(jfactor_covariance=partly).prepare(make()).draws(range(2000))[0]
    assert abs(drawn.log10_jfactor_obs.std() - 0.3) < 4 * 0.3 / np.sqrt(4000)


def test_a_covariance_agrees_with_the_priors():
    covariance = JFactorCovariance(["dwarf", "other"], [[0.09, 0.05], [0.05, 0.16]])
    with pytest.raises(ValueError, match="'other': its prior has a width of 0.3 dex, .* says 0.4"):
        maker(jfactor_covariance=covariance).prepare([make(), make("other")])
    with pytest.raises(ValueError, match="'other' is in jfactor_covariance, which needs a normal"):
        maker(jfactor_covariance=covariance).prepare([make(), make("other", width=(0.3, 0.4))])
    for tiny, fails in ((1e-7, False), (1e-5, True)):
        close = JFactorCovariance(["dwarf"], [[0.09 * (1 + tiny) ** 2]])
        if fails:
            with pytest.raises(ValueError, match="make them agree"):
                maker(jfactor_covariance=close).prepare(make())
        else:
            maker(jfactor_covariance=close).prepare(make())
    # a target without a prior has the covariance's
    free = make()
    free.models[0].spectral_model.jfactor_prior = None
    drawn = maker(jfactor_covariance=covariance).prepare(free).draws(range(2000))[0]
    assert abs(drawn.log10_jfactor_obs.std() - 0.3) < 4 * 0.3 / np.sqrt(4000)


def test_backgrounds_are_for_on_off_data():
    with pytest.raises(ValueError, match="given for \\['dwarf'\\], but only ON/OFF .* are none"):
        maker(backgrounds={"dwarf": 1}).prepare(make())
    with pytest.raises(ValueError, match="given for \\['x'\\], but only ON/OFF .* are none"):
        SimulatedDatasetMaker(1, backgrounds={"x": 1}, redraw_jfactor=True).prepare(
            map_dataset(width=0.8)
        )
    on_off = on_off_dataset()
    on_off._name = "onoff"
    given = {"onoff": np.ones((8, 1, 1)), "map": 1}
    with pytest.raises(ValueError, match="given for \\['map'\\], .* here are \\['onoff'\\]"):
        SimulatedDatasetMaker(1, backgrounds=given, redraw_jfactor=True).prepare(
            [on_off, map_dataset(width=0.8)]
        )
    # one for a dataset that is not among these is fine, as in a subset
    given = {"onoff": np.ones((8, 1, 1)), "another": 1}
    truth = SimulatedDatasetMaker(1, backgrounds=given, redraw_jfactor=True).prepare(on_off).truth()
    assert truth["npred"][0] == pytest.approx(8)


def test_expectations_are_for_sed_likelihoods():
    with pytest.raises(ValueError, match="given for \\['map'\\], but none of the datasets"):
        SimulatedDatasetMaker(1, expectations={"map": EXPECTATION}, redraw_jfactor=True).prepare(
            map_dataset(width=0.8)
        )


def test_a_background_that_contradicts_the_scans():
    # 12, 3, 0 and 1 counts: the third bin does not know its background
    got = SEDExpectation.from_dataset(
        poisson_dataset(ref_npred=SIGNAL), background=BACKGROUND * [1.4, 1 / 1.4, 9, 1]
    )
    assert_allclose(got.background, [11.2, 2.5, 13.5, 0.2])
    with pytest.raises(ValueError, match="background contradicts .* bins 0 .* is 12.8.* says 8:"):
        SEDExpectation.from_dataset(
            poisson_dataset(ref_npred=SIGNAL), background=BACKGROUND * [1.6, 1, 9, 1]
        )
    with pytest.raises(ValueError, match="background contradicts .* bins 1 .* is 2,.* says 3.5:"):
        SEDExpectation.from_dataset(
            poisson_dataset(ref_npred=SIGNAL), background=[8, 2.0, 1.5, 0.2]
        )
    with pytest.raises(ValueError, match="ref_npred contradicts .* bins 2 .* is 1.25.* says 1:"):
        SEDExpectation.from_dataset(
            poisson_dataset(ref_npred=SIGNAL * [1.15, 1, 1.25, 1]), background=BACKGROUND
        )
    # bins that are masked don't matter
    masked = poisson_dataset(
        ref_npred=SIGNAL * [1, 1, 9, 1], mask_safe=np.array([True, True, False, True])
    )
    assert SEDExpectation.from_dataset(masked, background=BACKGROUND).npred[2] == 9


@pytest.mark.parametrize("number", [3, 4])
def test_too_few_points(number):
    with pytest.raises(ValueError, match=f"at least 5 points .* got {number} and"):
        maker(n_points=number).run(make())
    # those of a dataset with fewer become five
    assert maker().run(make(n_points=number)).norm_scan.shape == (4, 5)


# ---- J -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "'dwarf' must be a finite number .*, got nan"),
        (19 * u.dex, "'dwarf' must be a finite number without unit"),
        ("18", "'dwarf' must be a finite number"),
        (None, "'dwarf' must be a finite number"),
        (6.8e18, "'dwarf' is 6.8e\\+18, which looks like J itself: give its log10"),
    ],
)
def test_bad_true_jfactors(value, message):
    with pytest.raises(ValueError, match=message):
        maker(log10_jfactor={"dwarf": value})


def linked(name, dataset_name, first):
    """A source of another name with the J-factor parameter of the first."""
    model = SkyModel(
        DarkMatterSpectralModel("100 GeV", "b", jfactor_prior=JFactorPrior(18.8, 0.3)), name=name
    )
    model.spectral_model.log10_jfactor = first.models[0].spectral_model.log10_jfactor
    return poisson_dataset(dataset_name, models=[model])


def test_models_that_share_a_jfactor_share_its_draws():
    first = make()
    second = linked("other", "second-dataset", first)
    simulation = maker().prepare([first, second])
    one, two = simulation.draws(range(50))
    assert np.array_equal(one.log10_jfactor_obs, two.log10_jfactor_obs)
    assert one.log10_jfactor_obs.std() > 0.1
    # they are those of the first name, in any order
    alone = maker().prepare(make()).draws(range(50))[0]
    assert np.array_equal(one.log10_jfactor_obs, alone.log10_jfactor_obs)
    turned = maker().prepare([second, first]).draws(range(50))[0]
    assert np.array_equal(turned.log10_jfactor_obs, one.log10_jfactor_obs)
    run = simulation.run(7)
    for dataset in run:
        spectrum = dataset.models[0].spectral_model
        assert spectrum.log10_jfactor.value == one.log10_jfactor_obs[7]
        assert spectrum.jfactor_prior.log10_jfactor == one.log10_jfactor_obs[7]
    assert (
        run[0].models[0].spectral_model.log10_jfactor
        is run[1].models[0].spectral_model.log10_jfactor
    )
    # so does what is true, by either name
    for true in ({"dwarf": 18.0}, {"other": 18.0}, {"dwarf": 18.0, "other": 18.0}):
        simulation = maker(log10_jfactor=true).prepare([first, second])
        assert simulation.truth()["log10_jfactor"].tolist() == [18.0, 18.0]
        asimov = simulation.asimov()
        assert [d.models[0].spectral_model.log10_jfactor.value for d in asimov] == [18.0, 18.0]
    with pytest.raises(ValueError, match="different values for models that share one J-factor"):
        maker(log10_jfactor={"dwarf": 18.0, "other": 19.0}).prepare([first, second]).truth()


def test_models_that_share_a_jfactor_in_a_covariance():
    first = make()
    second = linked("other", "second-dataset", first)
    third = make("third", width=0.2)
    expectations = {name: EXPECTATION for name in ("dwarf", "other", "third")}
    covariance = JFactorCovariance(["other", "third"], [[0.09, 0.06], [0.06, 0.04]])
    options = {"expectations": expectations, "jfactor_covariance": covariance}
    one, two, three = maker(**options).prepare([first, second, third]).draws(range(30))
    assert np.array_equal(one.log10_jfactor_obs, two.log10_jfactor_obs)
    # fully correlated, widths 0.3 and 0.2
    assert_allclose(
        (one.log10_jfactor_obs - 18.8) / (three.log10_jfactor_obs - 18.8), 1.5, rtol=1e-6
    )
    both = JFactorCovariance(["dwarf", "other"], [[0.09, 0.0], [0.0, 0.09]])
    with pytest.raises(ValueError, match="\\['dwarf', 'other'\\] share one J-factor"):
        maker(expectations=expectations, jfactor_covariance=both).prepare([first, second])


# ---- names of datasets ---------------------------------------------------------------------------


def counts_of(names):
    models = TARGET.to_models("100 GeV", "b")
    datasets = [poisson_dataset(name, models=models) for name in names]
    draws = maker().prepare(datasets).draws(range(20))
    return {draw.name: draw.counts.tolist() for draw in draws}


def test_short_names_that_somebody_gave(caplog):
    names = ["fermi_p8", "magic_01", "HESS_SGR", "Draco-p8", "VERITAS1"]
    with caplog.at_level(logging.WARNING):
        forward, backward = counts_of(names), counts_of(names[::-1])
        alone = counts_of(["magic_01"])
    assert forward == backward
    assert alone["magic_01"] == forward["magic_01"]
    assert not caplog.records


def test_the_order_of_random_names_is_reported(caplog):
    with caplog.at_level(logging.WARNING):
        counts_of(["aZ3_-x09"])
        assert not caplog.records
        one, two = counts_of(["aZ3_-x09", "Qw8kfEoP"]), counts_of(["Qw8kfEoP", "aZ3_-x09"])
    assert one["aZ3_-x09"] == two["Qw8kfEoP"] != one["Qw8kfEoP"]
    assert "target 'dwarf': the random numbers of its datasets ['aZ3_-x09'" in caplog.text
