"""Tasks that draw figures."""

__all__ = ["figure_tasks"]


def figure_tasks(plan):
    """Tasks of all figures that are wanted and can be drawn."""
    return []
