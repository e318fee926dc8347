"""Data selection keywords: the layout of gtselect, and cuts that only narrow."""

import pytest
from astropy.io import fits

from dmgammapy.makers.lat._cuts import (
    angular_separation,
    contains_class,
    contains_type,
    parse_event_class,
    parse_event_type,
)
from dmgammapy.makers.lat._dss import LATDataSelection

# "LAT data products" of the Fermi Science Support Center
EVENT_CLASSES = {
    "TRANSIENT020E": 8,
    "TRANSIENT020": 16,
    "TRANSIENT010E": 32,
    "TRANSIENT010": 64,
    "SOURCE": 128,
    "CLEAN": 256,
    "ULTRACLEAN": 512,
    "ULTRACLEANVETO": 1024,
    "SOURCEVETO": 2048,
    "TRANSIENT015S": 65536,
}
FULL = LATDataSelection(
    event_class=128,
    event_type=3,
    pass_version="P8R3",
    energy=(100.0, 500000.0),
    zenith_max=100.0,
    cone=(260.05, 57.915, 20.0),
)


def header_of(*keys, **more):
    """Header with DSS keys (type, unit, value[, reference])."""
    header = fits.Header(more)
    for number, key in enumerate(keys, start=1):
        for name, value in zip(("DSTYP", "DSUNI", "DSVAL", "DSREF"), key, strict=False):
            header[f"{name}{number}"] = value
    header["NDSKEYS"] = len(keys)
    return header


CLASS = ("BIT_MASK(EVENT_CLASS,128,P8R3)", "DIMENSIONLESS", "1:1")


def test_reads_the_reference(test_data):
    header = fits.getheader(test_data / "lat/reference/ft1.fits.gz", "EVENTS")
    assert LATDataSelection.from_header(header) == LATDataSelection(
        event_class=128,
        event_type=3,
        pass_version="P8R2",
        energy=(200.0, 20000.0),
        zenith_max=90.0,
        cone=(83.6331, 22.0145, 15.0),
    )


@pytest.mark.parametrize("name", ["ft1.fits.gz", "binned_expmap.fits.gz", "cntmap.fits.gz"])
def test_writes_what_the_science_tools_wrote(test_data, name):
    hdu = "EVENTS" if name.startswith("ft1") else 0
    header = fits.getheader(test_data / "lat/reference" / name, hdu)

    def keys(header):
        found = {}
        for key in ("DSTYP", "DSUNI", "DSVAL", "DSREF"):
            for number in range(1, header["NDSKEYS"] + 1):
                value = header.get(f"{key}{number}")
                found.setdefault(number, []).append(value)
        return sorted(map(str, found.values()))

    written = LATDataSelection.from_header(header).to_header()
    assert keys(written) == keys(header)
    # and replaced in place, nothing twice
    again = LATDataSelection.from_header(header).to_header(header.copy())
    assert keys(again) == keys(header)
    assert len(again) == len(header)


def test_file_of_the_archive():
    """Keys of a query of the FSSC's server: a range of times, lower case, a class of its own."""
    header = header_of(
        CLASS,
        ("POS(RA,DEC)", "deg", "circle(260.05,57.915,20)"),
        ("TIME", "s", "TABLE", ":GTI"),
        ("TIME", "s", "378691200:394329600"),
        ("BIT_MASK(EVENT_TYPE,3,P8R3)", "DIMENSIONLESS", "1:1"),
        ("ENERGY", "GeV", "0.1:500"),
        ("ZENITH_ANGLE", "deg", ":100"),
        PASS_VER="P8R3",
    )
    selection = LATDataSelection.from_header(header)
    assert selection.time == (378691200.0, 394329600.0)
    assert LATDataSelection.from_header(selection.to_header()) == selection
    assert selection == LATDataSelection.from_dict(selection.to_dict())
    assert selection.cone == FULL.cone
    assert selection.energy == FULL.energy
    assert selection.zenith_max == FULL.zenith_max


def test_several_keys_of_a_kind_are_what_all_leave():
    header = header_of(
        CLASS,
        ("BIT_MASK(EVENT_CLASS,64,P8R3)", "DIMENSIONLESS", "1:1"),
        ("ENERGY", "MeV", "100:5000"),
        ("ENERGY", "MeV", "300:9000"),
        ("ZENITH_ANGLE", "deg", "0:105"),
        ("ZENITH_ANGLE", "deg", "0:90"),
        ("POS(RA,DEC)", "deg", "CIRCLE(10,20,15)"),
        ("POS(RA,DEC)", "deg", "CIRCLE(10,21,5)"),
    )
    selection = LATDataSelection.from_header(header)
    assert selection.event_class == 128
    assert selection.energy == (300, 5000)
    assert selection.zenith_max == 90
    assert selection.cone == (10, 21, 5)
    assert selection.other == ()


def test_unknown_keys_are_kept_as_they_are(caplog):
    theta = ("THETA", "deg", "0:60")
    phase = ("PULSE_PHASE", "DIMENSIONLESS", "0.1:0.4")
    with caplog.at_level("WARNING"):
        selection = LATDataSelection.from_header(header_of(CLASS, theta, phase))
    assert [key["DSVAL"] for key in selection.other] == ["0:60", "0.1:0.4"]
    # phases scale the exposure, the angle to the axis of the LAT would need other responses
    assert selection.unknown_cuts == ("THETA 0:60",)
    assert "THETA = 0:60 is a cut that responses and livetime know nothing of" in caplog.text
    assert "PULSE_PHASE" not in caplog.text
    again = LATDataSelection.from_header(selection.to_header())
    assert again == selection
    assert LATDataSelection.from_dict(selection.to_dict()) == selection
    assert FULL.unknown_cuts == ()


def test_cones_that_cross_are_all_kept():
    """All of them cut, in any order; those that contain another one cut nothing."""
    cones = ["CIRCLE(10,20,5)", "CIRCLE(20,20,8)", "CIRCLE(15,25,9)", "CIRCLE(10,20,40)"]
    cones.append("CIRCLE(0,0,180)")
    expected = ((10, 20, 5), (20, 20, 8), (15, 25, 9))
    for order in (cones, cones[::-1], cones[1:] + cones[:1]):
        keys = [("POS(RA,DEC)", "deg", text) for text in order]
        selection = LATDataSelection.from_header(header_of(CLASS, *keys))
        assert selection.cones == expected
        assert selection.cone == expected[0]
        assert selection.unknown_cuts == ()
        assert selection == LATDataSelection(
            event_class=128, pass_version="P8R3", cone=expected[2], more_cones=expected[:2]
        )
    header = selection.to_header()
    found = [header[f"DSVAL{n}"] for n in range(1, 1 + header["NDSKEYS"])]
    assert [text for text in found if text.startswith("CIRCLE")] == cones[:3]
    assert LATDataSelection.from_header(header) == selection
    assert LATDataSelection.from_dict(selection.to_dict()) == selection
    assert "circle(10, 20, 5) deg, circle(20, 20, 8) deg, circle(15, 25, 9) deg" in str(selection)
    assert LATDataSelection().cones == ()


def test_cones_without_common_events():
    keys = [("POS(RA,DEC)", "deg", f"CIRCLE({ra},0,5)") for ra in (10, 21)]
    with pytest.raises(ValueError, match=r"DSTYP2 .*circle\(10, 0, 5\) .* nothing in common"):
        LATDataSelection.from_header(header_of(*keys))
    with pytest.raises(ValueError, match="have nothing in common"):
        FULL.narrowed(cone=(80.05, -57.915, 5.0))


def test_cones_of_further_cuts(caplog):
    crossing = FULL.narrowed(cone=(260.05, 60.0, 19.0))
    assert crossing.cones == ((260.05, 60.0, 19.0), FULL.cone)
    assert "circle(260.05, 60, 19) deg crosses circle(260.05, 57.915, 20) deg" in caplog.text
    # one inside of both is all that is left
    assert crossing.narrowed(cone=(260.05, 59.0, 5.0)).cones == ((260.05, 59.0, 5.0),)
    # one that contains one of them is wider than what is there
    with pytest.raises(ValueError, match=r"circle\(260.05, 60, 19\) deg, and .* not inside"):
        crossing.narrowed(cone=(260.05, 60.0, 19.5))
    assert FULL.intersect(LATDataSelection(cone=(260.05, 60.0, 19.0))) == crossing
    assert LATDataSelection(cone=(260.05, 57.9, 30.0)).intersect(FULL).cones == (FULL.cone,)
    # other cuts leave the cones as they are
    assert crossing.narrowed(zenith_max=80.0).cones == crossing.cones


def test_zenith_angles_up_to_180_deg_are_no_cut():
    """As in gtselect, which writes no key for it."""
    everything = LATDataSelection.from_header(header_of(CLASS, ("ZENITH_ANGLE", "deg", "0:180")))
    assert everything.zenith_max is None
    assert "ZENITH" not in str(everything.to_header())
    assert everything.narrowed(zenith_max=180.0) == everything
    assert LATDataSelection(zenith_max=180).zenith_max is None
    assert everything.narrowed(zenith_max=100.0).zenith_max == 100
    with pytest.raises(ValueError, match="up to 100 deg, and up to 180 deg was asked for"):
        FULL.narrowed(zenith_max=180.0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([], "ft1.fits: no DSS keywords .* state the cuts with selection="),
        ([("BIT_MASK(EVENT_CLASS,2)", "", "1:1")], "ft1.fits, DSTYP1 = .* Pass 7 and before"),
        ([("BIT_MASK(EVENT_CLASS,2,P7REP)", "", "1:1")], "Pass 7 and before"),
        ([("ENERGY", "erg", "1:2")], "DSTYP1 = 'ENERGY', DSVAL1 = '1:2': unit 'erg', expected"),
        ([CLASS, ("ENERGY", "MeV", "1:x")], "DSTYP2 = 'ENERGY', DSVAL2 = '1:x': 'x' is no number"),
        ([("ENERGY", "MeV", "100")], "expected a range 'min:max'"),
        ([("ENERGY", "MeV", "200:100")], "a range that ascends, got 200 to 100"),
        ([("ENERGY", "MeV", "1:2"), ("ENERGY", "MeV", "3:4")], "have nothing in common"),
        ([("ZENITH_ANGLE", "deg", "100:180")], "expected from 0; .* Earth's limb"),
        ([("BIT_MASK(EVENT_CLASS,128,P8R3)", "", "0:0")], "expected with the value '1:1'"),
        ([CLASS, ("BIT_MASK(EVENT_TYPE,3,P8R2)", "", "1:1")], "P8R3 and P8R2 have no event"),
    ],
)
def test_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        LATDataSelection.from_header(header_of(*keys), "ft1.fits")


def test_pass_of_the_file_and_of_its_keys_must_agree():
    with pytest.raises(ValueError, match="P8R2 and P8R3 have no event in common"):
        LATDataSelection.from_header(header_of(CLASS, PASS_VER="P8R2"))


def test_narrowed():
    narrow = FULL.narrowed(
        event_class=256,
        event_type=32,
        energy=(500.0, None),
        zenith_max=90.0,
        cone=(260.05, 57.915, 10.0),
    )
    assert narrow == LATDataSelection(
        event_class=256,
        event_type=32,
        pass_version="P8R3",
        energy=(500.0, 500000.0),
        zenith_max=90.0,
        cone=(260.05, 57.915, 10.0),
    )


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({"event_class": 64}, r"events are SOURCE \(128\), and TRANSIENT010 \(64\) was asked for"),
        ({"event_class": 4096}, r"SOURCE \(128\), and bits 0x1000 \(4096\)"),
        ({"energy": (50.0, 1000.0)}, "100 to 500000 MeV, and 50 to 1000 MeV was asked for"),
        ({"energy": (None, 1e6)}, "and 100 to 1e\\+06 MeV was asked for"),
        ({"energy": (1e6, 2e6)}, "which is not part of it"),
        ({"energy": (300.0, 200.0)}, "ascends, got 300 to 200 MeV"),
        ({"zenith_max": 105.0}, "up to 100 deg, and up to 105 deg was asked for"),
        ({"cone": (260.05, 57.915, 21.0)}, r"circle\(260.05, 57.915, 20\) deg, and circle\("),
        ({"cone": (260.05, 58.0, 20.5)}, "not inside"),
    ],
)
def test_wider_cuts_are_refused(cut, message):
    with pytest.raises(ValueError, match=message):
        FULL.narrowed(**cut)


def test_a_type_that_was_cut_away():
    with pytest.raises(
        ValueError, match=r"events are PSF3 \(32\), and FRONT\+BACK \(3\) was asked"
    ):
        FULL.narrowed(event_type=32).narrowed(event_type=3)


def test_limits_of_other_units_are_the_same_limits():
    narrow = FULL.narrowed(energy=(100 * (1 - 1e-15), 500000 * (1 + 1e-15)), zenith_max=100 + 1e-12)
    assert narrow.energy == FULL.energy
    # the Science Tools write positions with ten digits
    FULL.narrowed(cone=(260.05 + 3e-9, 57.915, 20.0))


def test_intersect():
    other = LATDataSelection(event_type=32, pass_version="P8R3", energy=(50.0, 1000.0))
    both = FULL.intersect(other)
    assert both == other.intersect(FULL)
    assert (both.event_class, both.event_type, both.energy) == (128, 32, (100.0, 1000.0))
    with pytest.raises(ValueError, match="was asked for, which is not part of it"):
        other.intersect(LATDataSelection(event_type=1))


def test_classes_by_name():
    for name, mask in EVENT_CLASSES.items():
        for text in (name, name.lower(), f"P8R3_{name}", f"P8R3_{name}_V3", str(mask), mask):
            assert parse_event_class(text) == mask
    for bad in ("SAUCE", "P8R3", "SOURCE_CLEAN", 0, -1, 1.5, True):
        with pytest.raises(ValueError, match="event class"):
            parse_event_class(bad)


def test_types_by_name():
    expected = {"FRONT": 1, "back": 2, "FB": 3, "PSF": 60, "EDISP": 960, "FRONT+BACK": 3}
    expected |= {f"PSF{i}": 4 << i for i in range(4)} | {f"EDISP{i}": 64 << i for i in range(4)}
    for name, mask in expected.items():
        assert parse_event_type(name) == mask
    assert parse_event_type(["PSF2", "PSF3"]) == 48
    for bad in ("PSF4", [], "", 0, ["FRONT", "PSF3"], 7, 1024):
        with pytest.raises(ValueError, match="event type"):
            parse_event_type(bad)


def test_classes_are_nested_as_in_the_events(test_data):
    """Where a class is said to contain another, each event of the other is in it."""
    from dmgammapy.makers.lat.events import LATEventList

    events = LATEventList.read(test_data / "lat/reference/ft1.fits.gz")
    classes = events.table["EVENT_CLASS"]
    for outer, whole in EVENT_CLASSES.items():
        for inner, part in EVENT_CLASSES.items():
            if contains_class(whole, part):
                assert ((classes[(classes & part) != 0] & whole) != 0).all(), (outer, inner)
    types = events.table["EVENT_TYPE"]
    for whole in (3, 60, 960):
        assert ((types & whole) != 0).all()
        assert contains_type(whole, 32)
    assert not contains_type(1, 32)
    assert contains_class(128, 2048)
    assert not contains_class(256, 2048)


def test_separation_of_small_and_large_angles():
    assert angular_separation(10.0, 0.0, 10.0 + 1e-7, 0.0) == pytest.approx(1e-7, rel=1e-8)
    assert angular_separation(0.0, 30.0, 180.0, -30.0) == pytest.approx(180.0)
    assert angular_separation(359.0, 0.0, 1.0, 0.0) == pytest.approx(2.0)


def test_unknown_names_of_a_dictionary():
    with pytest.raises(ValueError, match="unknown \\['zmax'\\]"):
        LATDataSelection.from_dict({"zmax": 90})


def test_phase_fraction():
    selection = FULL.with_phase([(0.0, 0.1), (0.5, 0.7)])
    assert selection.phase_fraction == pytest.approx(0.3)
    assert LATDataSelection.from_header(selection.to_header()) == selection
    assert FULL.phase_fraction == 1
    with pytest.raises(ValueError, match="the events are of 0:0.1,0.5:0.7; cut phases once"):
        selection.with_phase([(0.0, 0.05)])


def test_phases_of_several_keys():
    phases = [("PULSE_PHASE", "", text) for text in ("0:0.2,0.5:0.7", "0.1:0.6")]
    assert LATDataSelection.from_header(header_of(*phases)).phase_fraction == pytest.approx(0.2)
    with pytest.raises(ValueError, match=r"DSTYP2 = 'PULSE_PHASE'.*0:0.2 and 0.3:1 have nothing"):
        LATDataSelection.from_header(
            header_of(*[("PULSE_PHASE", "", text) for text in ("0:0.2", "0.3:1")])
        )
    with pytest.raises(ValueError, match="'low' is no number"):
        LATDataSelection.from_header(header_of(("PULSE_PHASE", "", "low:1")))
