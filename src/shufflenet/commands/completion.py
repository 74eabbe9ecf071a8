"""What a shell offers at Tab in the place of a model or of a target: names, and files."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def models(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The models that come with the package, public networks that can be downloaded, and files."""
    from shufflenet.importers import catalogue
    from shufflenet.models import embedded_models

    names = [*embedded_models(), *(row["name"] for row in catalogue.rows() if row["address"] and not row["refused"])]
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return [*found, CompletionItem(incomplete, type="file")]


def targets(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The formats that `shufflenet export` writes."""
    from shufflenet.exporters import TARGETS

    return [CompletionItem(name, help=target.title) for name, target in TARGETS.items() if name.startswith(incomplete)]
