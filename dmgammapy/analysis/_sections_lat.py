"""Sections of the configuration about photons of the LAT and the region around a target."""

from typing import Any

import astropy.units as u
import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from ._fields import Section, as_list, choice, fail, short_form
from ._yaml import did_you_mean

__all__ = ["PARAMETRISED", "PhotonsConfig", "RegionConfig"]

FRAMES = ("icrs", "galactic")
PARAMETRISED = "parametrised"
# keys of which components have none of their own
WHOLE = ("ft1", "ft2", "livetime", "caldb", "cache", "components")


def _quantity(unit, example, zero=False):
    """Validator of a text that stands for a positive quantity; the text is kept."""

    def check(cls, value):
        if value is None:
            return value
        try:
            number = u.Quantity(value).to_value(unit)
            good = np.isfinite(number) and (number > 0 or (zero and number == 0))
        except (TypeError, ValueError, u.UnitConversionError):
            good = False
        if not good:
            raise fail(f"expected a quantity with a unit such as '{example}', got {value!r}")
        return str(value)

    return classmethod(check)


class PhotonsConfig(Section):
    """Event files of the LAT, and how they become counts. A text or list is taken as ``ft1``."""

    shorthand = ({"type": "string"}, {"type": "array", "items": {"type": "string"}})
    listed = ("ft1", "ft2", "event_types")

    ft1: list[str] = Field(
        description="Event files, with {target} for the name of a target if each has its own; "
        "@list.txt is a list of files."
    )
    ft2: list[str] | None = Field(None, description="Spacecraft files.")
    livetime: str | None = Field(
        None, description="Livetime cube of these events. Default is to compute it."
    )
    irfs: str = Field(
        "P8R3_SOURCE_V3",
        description="Response functions, or 'parametrised': the rough ones of simulations.",
    )
    caldb: str | None = Field(None, description="Folder with CALDB. Default is $CALDB.")
    event_types: list[str | int | list[str]] = Field(
        ["FB"], description="A dataset each: FB, PSF3, a list of such, or a bit mask."
    )
    event_class: str | int | None = Field(
        None, description="Default is the one of the response functions."
    )
    width: str = Field("10 deg", description="Side of the region around a target.")
    binsz: str = Field("0.1 deg", description="Size of the pixels.")
    margin: str | None = Field(
        None, description="Reach of the exposure around it. Default is that of the PSF."
    )
    frame: str = Field(
        "icrs", description="Frame of the pixels.", json_schema_extra={"enum": list(FRAMES)}
    )
    proj: str = Field("TAN", description="Projection of the pixels.")
    energy_min: str = Field("500 MeV", description="The lowest energy.")
    energy_max: str = Field("500 GeV", description="The highest energy.")
    energy_bins_per_decade: float = Field(8, gt=0, description="Energy bins in every decade.")
    zenith_max: str | None = Field(
        None, description="Largest zenith angle. Default is what the files were selected with."
    )
    time_min: float | None = Field(None, description="Mission elapsed time [s]. Default is all.")
    time_max: float | None = Field(None, description="Mission elapsed time [s]. Default is all.")
    filter: str | None = Field(
        "DATA_QUAL>0 && LAT_CONFIG==1",
        description="Good times by columns of the spacecraft files. null keeps those of the "
        "event files.",
    )
    roi_zenith_max: str | None = Field(
        None, description="Remove times when part of the region is beyond. Default is not to."
    )
    edisp: bool = Field(True, description="Whether energy dispersion is taken into account.")
    components: list[dict[str, Any]] = Field(
        [], description="Datasets with own values of the keys above."
    )
    name: str = Field("lat", description="Begin of the names of the datasets.")
    cache: str | None = Field(
        None, description="Folder for livetime and response. Default is to keep none."
    )

    _shorthand = short_form("ft1", str | list)

    _as_list = field_validator("ft1", "ft2", "event_types", mode="before")(as_list)

    _angles = field_validator(
        "width", "binsz", "zenith_max", "roi_zenith_max", mode="before"
    )(_quantity("deg", "10 deg"))  # fmt: skip

    _margins = field_validator("margin", mode="before")(_quantity("deg", "5 deg", zero=True))

    _energies = field_validator("energy_min", "energy_max", mode="before")(
        _quantity("MeV", "500 MeV")
    )

    @field_validator("frame")
    @classmethod
    def _is_frame(cls, value):
        return choice(value, FRAMES)

    @field_validator("components")
    @classmethod
    def _are_parts(cls, value):
        known = [name for name in cls.model_fields if name not in WHOLE]
        for k, part in enumerate(value):
            for key in part:
                if key not in known:
                    raise fail(
                        f"a component has no key {key!r}, only {', '.join(known)}"
                        f"{did_you_mean(key, known)}", k, key,
                    )  # fmt: skip
            try:
                whole = cls.model_validate({"ft1": ["x"], "ft2": ["x"]} | part)
            except ValidationError as error:
                first = error.errors()[0]
                raise fail(first["msg"], k, *first["loc"][:1]) from None
            dumped = whole.model_dump(mode="json")
            value[k] = {key: dumped[key] for key in part}
        return value

    @property
    def parts(self):
        """The section as it is for every component, list of `PhotonsConfig`."""
        own = self.model_dump(mode="json", exclude={"components"})
        return [type(self).model_validate(own | part) for part in self.components or [{}]]

    @model_validator(mode="after")
    def _has_livetime(self):
        if not self.ft1:
            raise fail("the list of event files is empty", "ft1")
        if self.ft2 is None and self.livetime is None:
            raise fail("give spacecraft files, from which the livetime is computed", "ft2")
        if self.ft2 is None and (self.filter is not None or self.roi_zenith_max is not None):
            raise fail(
                "good times need spacecraft files; give ft2, or filter: null to keep the good "
                "times of the event files",
                "filter",
            )
        return self


class RegionConfig(Section):
    """What else shines around a target. A text is taken as ``catalogs``."""

    shorthand = ({"type": "string"},)
    listed = ("catalogs", "exclude")

    catalogs: list[str] = Field([], description="Catalogs of sources, 4FGL or 3FHL (FITS).")
    diffuse: str | None = Field(None, description="Galactic diffuse emission, a cube (FITS).")
    isotropic: str | dict[str, str] | None = Field(
        None, description="Isotropic emission, a table of text; or one for each event type."
    )
    sources: list[dict[str, Any]] = Field(
        [],
        description="More sources, with the keys of fermipy: name, ra, dec, SpectrumType, "
        "Prefactor [cm-2 s-1 MeV-1], Index, Scale [MeV] ...",
    )
    extended_dir: str | None = Field(None, description="Folder with templates of the catalogs.")
    radius: str | None = Field(
        None, description="Sources within this angle of the target. Default is as far as counts "
        "of the region may come from.",
    )  # fmt: skip
    exclude: list[str] = Field(
        [], description="Catalog sources to leave out, such as one that is the target itself."
    )
    free_radius: str = Field(
        "3 deg",
        description="Norms of all sources within this angle of the target are fitted: what is "
        "held there would take up a signal.",
    )
    free_significance: float | None = Field(
        None, ge=0, description="Norms of sources beyond that are as significant are fitted, too."
    )
    npred_min: float | None = Field(
        None, ge=0, description="Least counts of a catalog source. Default is any."
    )
    optimize: bool = Field(True, description="Fit in steps, the brightest first, before all.")

    _shorthand = short_form("catalogs", str)

    _as_list = field_validator("catalogs", "exclude", mode="before")(as_list)

    _angles = field_validator("radius", "free_radius", mode="before")(
        _quantity("deg", "3 deg", zero=True)
    )
