"""Models in the bundle of a fitted region."""

import numpy as np
import yaml
from gammapy.modeling.models import Models

from dmgammapy.utils import without_warnings

__all__ = ["read_models", "write_models"]

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
STATE = ("value", "error", "min", "max", "frozen")


def write_models(models, folder):
    """Write models as YAML, and templates beside; nothing in the models is changed.

    Parameters
    ----------
    models : `~gammapy.modeling.models.Models`
    folder : `~pathlib.Path`

    Returns
    -------
    states : dict
        ``{name of the model: what YAML does not keep to the last digit}``.
    """
    _label_links(models)
    (folder / "templates").mkdir()
    components, states = [], {}
    for i, model in enumerate(models):
        state = {"parameters": [_state(p) for p in model.parameters]}
        state["template"] = _write_template(model, folder, f"templates/{i:03d}.fits")
        data = model.to_dict(full_output=True)
        if state["template"] is not None:
            part = data["spatial"] if "spatial" in data else data
            part["filename"] = state["template"]["file"]
            if "normalize" in part:
                part["normalize"] = False  # the map is, and dividing again may change digits
        components.append({"name": model.name} | data)  # which backgrounds lack
        states[model.name] = state
    text = yaml.safe_dump(_plain({"components": components}), sort_keys=False)
    (folder / "models.yaml").write_text(text)
    return states


def read_models(folder, states, keep):
    """Read what `write_models` has written.

    Parameters
    ----------
    folder : `~pathlib.Path`
    states : dict
    keep : bool
        Whether the folder stays, so that models may name their templates in it; otherwise they
        name the file they had before.

    Returns
    -------
    models : `~gammapy.modeling.models.Models`
    """
    data = yaml.load((folder / "models.yaml").read_text(), Loader=Loader)
    for component, state in zip(data["components"], states.values(), strict=True):
        part = component["spatial"] if "spatial" in component else component
        if state["template"] is not None:
            part["filename"] = str((folder / part["filename"]).resolve())
    with without_warnings("gammapy.modeling.models.core"):  # what YAML lacks is set below
        models = Models.from_dict(data)
    for model in models:
        state = states[model.name]
        holder, template = _template_holder(model), state["template"]
        if template is not None:
            if not keep:
                holder.filename = template["given"]
            if template["normalize"] is not None:
                holder.normalize = template["normalize"]
        for parameter, known in zip(model.parameters, state["parameters"], strict=True):
            for name in STATE:
                setattr(parameter, name, known[name])
    return models


def _label_links(models):
    """Labels of linked parameters, by their order: those of Gammapy are random."""
    models.update_link_label()
    known = {}
    for parameter in models.parameters:
        if parameter._link_label_io is not None:
            known.setdefault(id(parameter), f"{parameter.name}@link{len(known)}")
            parameter._link_label_io = known[id(parameter)]


def _template_holder(model):
    """The part of a model that has a map."""
    if hasattr(model, "map"):
        return model
    spatial = getattr(model, "spatial_model", None)
    return spatial if hasattr(spatial, "map") else None


def _write_template(model, folder, name):
    holder = _template_holder(model)
    if holder is None:
        return None
    holder.map.write(folder / name)
    given = getattr(holder, "filename", None)
    return {
        "file": name,
        "given": None if given is None else str(given),
        "normalize": getattr(holder, "normalize", None),
    }


def _state(parameter):
    state = {name: float(getattr(parameter, name)) for name in STATE[:-1]}
    return state | {"name": parameter.name, "frozen": bool(parameter.frozen)}


def _plain(data):
    """Numbers and lists of Python from those of numpy."""
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, np.ndarray):
        return _plain(data.tolist())
    if isinstance(data, np.generic):
        return data.item()
    return data if isinstance(data, int | float | None) else str(data)
