"""The table "from fermipy and the Science Tools" is complete, and what it names exists."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "lat_from_fermipy.md"
ROOMS = [
    f"dmgammapy.{room}"
    for room in ("makers", "makers.lat", "estimators", "datasets", "targets", "analysis")
]
# public methods and properties of fermipy 1.4.3's GTAnalysis, those it inherits included
FERMIPY = """
add_gauss_prior add_source add_sources_from_roi binsz bowtie cleanup clone components
compute_drm compute_psf compute_srcprob config configdir configure constrain_norms counts_map
create create_roi_table curvature delete_source delete_sources delete_workdir energies enumbins
extension files find_sources fit fit_correlation free_index free_norm free_parameter free_shape
free_source free_sources free_sources_by_name generate_model geom get_config get_free_param_vector
get_free_source_params get_norm get_params get_source_dnde get_source_name get_source_params
get_sources get_src_model lightcurve like load_parameters_from_yaml load_roi load_xml localize
lock_parameter lock_source log_energies loge_bounds logger loglevel make_plots make_template
model_counts_map model_counts_spectrum npix optimize outdir plotter print_config print_model
print_params print_roi profile profile_norm projtype psmap reload_source reload_sources
remove_prior remove_priors residmap roi scale_parameter schema sed set_edisp_flag set_energy_range
set_free_param_vector set_log_level set_norm set_norm_bounds set_norm_scale set_parameter
set_parameter_bounds set_parameter_error set_parameter_scale set_random_seed set_source_dnde
set_source_morphology set_source_spectrum set_weights_map setup simulate_roi simulate_source
stage_input stage_output tmax tmin tscube tsmap unzero_source update_source weight_map workdir
write_config write_fits write_model_map write_roi write_weight_map write_xml zero_source
""".split()
# tools that have a help page in fermi-lat/fermitools-fhelp, and gtaddaspec
TOOLS = """
gtaddaspec gtalphabkg gtbary gtbin gtbindef gtbkg gtburst gtburstfit gtdiffrsp gtdrm gteffbkg
gtephem gtexpcube gtexpcube2 gtexphpsun gtexpmap gtexposure gtfindsrc gtirfs gtlike gtltcube
gtltcubesun gtltsum gtltsumsun gtmktime gtmodel gtobspsf gtobssim gtophase gtorbsim gtpphase
gtpsearch gtpsf gtpspec gtptest gtpulsardb gtrspgen gtselect gtsrcid gtsrcmaps gtsrcprob gtsuntemp
gttsmap gtvcut gtwtsmap modeleditor pypsf
""".split()


def rows():
    """Names on the left, and names in the column "here", of each row of the tables."""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            assert len(cells) >= 2, line
            yield re.findall(r"`([^`]+)`", cells[0]), cells[1]


ROWS = list(rows())
HERE = sorted({name for _, here in ROWS for name in re.findall(r"`([^`]+)`", here)})


def test_every_name_is_there_once():
    listed = [name for names, _ in ROWS for name in names]
    assert sorted(listed) == sorted(FERMIPY + TOOLS)


def test_every_row_has_an_answer():
    assert all("`" in here or here == "**not here**" for _, here in ROWS)


@pytest.mark.parametrize("name", HERE)
def test_what_is_here_exists(name):
    found = [thing for thing in map(lookup, places(name)) if thing is not None]
    assert found, f"{name} is in no public room"


def places(name):
    """Where a name may be: (module, attributes)."""
    parts = name.split(".")
    if parts[0] != "gammapy":
        return [(room, parts) for room in ROOMS]
    k = next(i for i, part in enumerate(parts) if part[0].isupper())
    return [(".".join(parts[:k]), parts[k:])]


def lookup(place):
    thing = importlib.import_module(place[0])
    for part in place[1]:
        thing = getattr(thing, part, None)
    return thing
