"""Tables and figures of the validation scripts."""

from pathlib import Path

__all__ = ["markdown", "save"]

DPI = 100


def markdown(columns):
    """Markdown table of columns, numbers to the right.

    Parameters
    ----------
    columns : dict of list
        Cells by title; what is not a string is written with four digits.

    Returns
    -------
    table : str
    """
    cells = {
        title: [cell if isinstance(cell, str) else f"{cell:.4g}" for cell in column]
        for title, column in columns.items()
    }
    numbers = [not any(isinstance(cell, str) for cell in column) for column in columns.values()]
    lines = [" | ".join(cells), " | ".join("---:" if right else "---" for right in numbers)]
    lines += [" | ".join(row) for row in zip(*cells.values(), strict=True)]
    return "\n".join(f"| {line} |" for line in lines)


def save(figure, folder, name):
    """Write a figure as PNG into a folder, or do nothing if there is none."""
    if folder is None:
        return
    path = Path(folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
