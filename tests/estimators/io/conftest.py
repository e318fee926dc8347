"""Results with a known answer, to write and read back."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.estimators import CastroMaps, StackedDMLikelihood

CM3_S = u.Unit("cm3 s-1")
MASSES = [10.0, 100.0, 1000.0] * u.GeV


def stat_of(strength, mass, peak=1.0):
    """-2 ln L of a Gaussian measurement: ``peak`` sigma above zero, sigma 1e-26 (m / 100 GeV)."""
    sigma = 1e-26 * np.asarray(mass) / 100
    return (strength / sigma - peak) ** 2


@pytest.fixture
def make_castro():
    """A castro result whose likelihood is `stat_of`, by its metadata."""

    def make(channels=("b",), masses=MASSES, peak=1.0, grid=None, per_mass=False, **meta):
        meta = {"target": "Segue1", "instrument": "IACT", "log10_jfactor": 19.36} | meta
        m = masses.to_value("GeV")
        if grid is None:
            grid = np.append(0, np.geomspace(1e-30, 1e-22, 321))
        strength = np.broadcast_to(grid, (len(channels), len(m), len(grid)))
        if per_mass:
            strength = strength * (m / 100)[:, None]
        stat = stat_of(strength, m[:, None], peak)
        scan = strength if per_mass else grid
        unit = u.Unit("s-1") if meta.get("process") == "decay" else CM3_S
        return CastroMaps.from_scan(scan * unit, stat, masses, list(channels), **meta)

    return make


@pytest.fixture
def make_stacked(make_castro):
    """The same on the lattice of the stack: every mass has its own stretch of signal strengths."""

    def make(**kwargs):
        castro = make_castro(per_mass=True, **kwargs)
        result = StackedDMLikelihood([castro], method="fixed").run()
        result.meta.instrument = castro.meta.instrument
        return result

    return make


@pytest.fixture
def assert_identical():
    """Check that two results are the same, bit for bit, axes and metadata included."""

    def check(one, two):
        assert one.available_quantities == two.available_quantities
        for name in one.available_quantities:
            a, b = one[name], two[name]
            assert a.unit == b.unit
            assert a.data.dtype == b.data.dtype
            assert a.data.shape == b.data.shape
            assert a.data.tobytes() == b.data.tobytes(), name
            for x, y in zip(a.geom.axes, b.geom.axes, strict=True):
                assert (type(x), x.name, x.unit) == (type(y), y.name, y.unit)
                assert x.node_type == y.node_type
                if x.node_type == "label":
                    assert list(x.center) == list(y.center)
                else:
                    assert x._nodes.tobytes() == y._nodes.tobytes()
                    assert x.interp == y.interp
        assert one.meta.to_json_dict() == two.meta.to_json_dict()

    return check
