"""The line that installs optional packages; it works where this package came from: a checkout, a wheel, or neither."""

from __future__ import annotations

import json
import os
import re
import shlex
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit


def install_hint(extra: str) -> str:
    """The command that installs the packages of ``extra``, one of pyproject.toml's optional dependencies.

    It names the folder or wheel that the package was installed from, if that is still there, else the packages.
    """
    try:
        distribution = metadata.distribution("shufflenet")
    except metadata.PackageNotFoundError:
        return f"pip install '.[{extra}]' in the package's folder"
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    path = Path(unquote(urlsplit(origin.get("url", "")).path))
    if origin.get("url", "").startswith("file://") and path.exists():
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
        place = "." if path == Path.cwd() else os.fspath(path)
        return f"pip install {editable}{shlex.quote(f'{place}[{extra}]')}"
    packages = [requirement for line in distribution.requires or () if (requirement := _of_extra(line, extra))]
    return f"pip install {' '.join(map(shlex.quote, packages))}"


def _of_extra(line: str, extra: str) -> str:
    """The requirement in ``line``, such as "torch>=2.4; extra == 'train'", if it belongs to ``extra``; else ""."""
    requirement, _, marker = line.partition(";")
    named = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker)
    return requirement.strip() if named and named[1] == extra else ""
