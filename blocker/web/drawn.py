"""Pages of our own: a template of this folder, filled. One place says how.

Shell: templates are files. Every value is escaped, for it came from files of others; a template that asks for
a value that isn't there is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def page(template: str, filters: Mapping[str, Callable[..., Any]], /, **values: Any) -> str:
    """The template with the values. The same values make the same page."""
    environment = Environment(
        loader=PackageLoader("blocker.web", "."),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(**values)
