"""The forms a covariance of J-factors comes in, and what is refused."""

import numpy as np
import pytest
from astropy.table import Table

from dmgammapy.estimators import JFactorCovariance

MATRIX = np.array([[0.04, 0.01, 0], [0.01, 0.09, 0], [0, 0, 0.16]])
NAMES = ["draco", "segue_1", "carina"]


@pytest.mark.parametrize(
    "data",
    [
        (NAMES, MATRIX),
        {"draco": {"draco": 0.04, "segue_1": 0.01}, "segue_1": {"segue_1": 0.09},
         "carina": {"carina": 0.16}},
        Table({"target": NAMES, **dict(zip(NAMES, MATRIX.T, strict=True))}),
        JFactorCovariance(NAMES, MATRIX),
        JFactorCovariance(NAMES, MATRIX).to_table(),
    ],
)  # fmt: skip
def test_forms(data):
    covariance = JFactorCovariance.create(data)
    assert covariance == JFactorCovariance(NAMES, MATRIX)
    assert covariance.widths == pytest.approx({"draco": 0.2, "segue_1": 0.3, "carina": 0.4})
    assert covariance.correlation[0, 1] == pytest.approx(1 / 6)
    assert covariance.blocks() == [["draco", "segue_1"], ["carina"]]
    assert np.array_equal(covariance.select(["carina", "draco"]).matrix, [[0.16, 0], [0, 0.04]])


def test_widths_and_coefficients():
    covariance = JFactorCovariance.from_widths({"a": 0.1, "b": 0.2}, -0.5)
    np.testing.assert_allclose(covariance.matrix, [[0.01, -0.01], [-0.01, 0.04]])
    same = JFactorCovariance.from_widths({"a": 0.1, "b": 0.2}, [[1, -0.5], [-0.5, 1]])
    assert same == covariance


def test_targets_linked_by_a_third_are_one_block():
    matrix = np.array([[1, 0, 0.5], [0, 1, 0.5], [0.5, 0.5, 1]])
    assert JFactorCovariance(["a", "b", "c"], matrix).blocks() == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("names", "matrix", "match"),
    [
        (["a", "a"], np.eye(2), r"\['a'\] come twice"),
        (["a", "b"], np.eye(3), r"shape \(2, 2\), got \(3, 3\)"),
        (["a", "b"], [[1, np.nan], [np.nan, 1]], "'a' and 'b' must be finite"),
        (["a", "b"], [[1, 0.5], [0.4, 1]], "'a' with 'b' has 0.5, the other way round it has 0.4"),
        (["a", "b"], [[1, 0], [0, -0.1]], "variance of 'b' is negative"),
        (["a", "b"], [[1, 0.1], [0.1, 0]], "'b' has no variance.*with 'a'"),
        (["a", "b"], [[0.04, 0.09], [0.09, 0.09]], "negative eigenvalues.*lowest is -0.5.* a"),
    ],
)
def test_refused(names, matrix, match):
    with pytest.raises(ValueError, match=match):
        JFactorCovariance(names, matrix)


def test_refused_forms():
    with pytest.raises(TypeError, match="must be a JFactorCovariance, Table.*got int"):
        JFactorCovariance.create(3)
    with pytest.raises(ValueError, match="'a' must be a dict that holds its own variance"):
        JFactorCovariance.create({"a": {"b": 0.1}, "b": {"b": 1.0}})
    with pytest.raises(ValueError, match=r"'a' names \['b'\]"):
        JFactorCovariance.create({"a": {"a": 0.1, "b": 0.1}})
    with pytest.raises(ValueError, match="needs a column 'target'"):
        JFactorCovariance.create(Table({"name": ["a"], "a": [1.0]}))
    with pytest.raises(ValueError, match=r"at odds: \['b'\]"):
        JFactorCovariance.create(Table({"target": ["a", "b"], "a": [1.0, 0.0]}))
    table = Table({"target": ["a"], "a": [1.0]}, units={"a": "m"})
    with pytest.raises(ValueError, match="column 'a': expected dex2, got m"):
        JFactorCovariance.create(table)
    with pytest.raises(ValueError, match="must not be negative"):
        JFactorCovariance.from_widths({"a": -0.1}, 0)
    with pytest.raises(ValueError, match="diagonal of a correlation matrix must be 1"):
        JFactorCovariance.from_widths({"a": 0.1, "b": 0.1}, [[2, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"shape \(2, 2\), got \(2,\)"):
        JFactorCovariance.from_widths({"a": 0.1, "b": 0.1}, [0.1, 0.2])
    with pytest.raises(ValueError, match=r"no J-factor covariance for \['b'\]"):
        JFactorCovariance(["a"], [[0.1]]).select(["b"])
