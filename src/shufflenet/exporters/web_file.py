"""The web page in a single file, which also works when it is opened from disk."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from shufflenet.exporters.target import ExportError

# The scripts as one: each behind those that it imports from.
_PAGE = (
    "single/files.js", "network.js", "classifier.js", "view.js", "gallery.js", "incoming.js", "camera.js", "page.js",
)  # fmt: skip
_WORKER = ("network.js", "worker.js")
_POLICY = (
    "default-src 'none'; script-src '{script}' 'wasm-unsafe-eval'; style-src '{style}'; img-src blob: data:; "
    "worker-src blob:; base-uri 'none'; form-action 'none'"
)


def single_file(texts: Mapping[str, str], parts: Mapping[str, bytes]) -> str:
    """The page as one .html.

    Args:
        texts: the files of web_template, by name.
        parts: the model and the engines, by name.
    """
    script, style = _joined(texts, _PAGE), texts["style.css"]
    embedded = [
        f'<script type="application/octet-stream" id="{name}">{base64.b64encode(data).decode()}</script>\n'
        for name, data in parts.items()
    ]
    embedded.append(f'<script type="text/plain" id="worker.js">{_joined(texts, _WORKER)}</script>\n')
    icon = base64.b64encode(texts["icon.svg"].encode()).decode()
    changes = {
        r'(?<=http-equiv="Content-Security-Policy" content=")[^"]*': _POLICY.format(
            script=_hash(script), style=_hash(style)
        ),
        r'(?<=<link rel="icon" href=")icon\.svg': f"data:image/svg+xml;base64,{icon}",
        r'<link rel="(apple-touch-icon|manifest)"[^>]*>\n': "",
        r'<link rel="stylesheet"[^>]*>': f"<style>{style}</style>",
        r'<script type="module" src="page\.js"></script>\n': "",
        r"</body>": f'{"".join(embedded)}<script type="module">{script}</script>\n</body>',
    }
    page = texts["index.html"]
    for pattern, new in changes.items():
        page, count = re.subn(pattern, lambda _, new=new: new, page)  # type: ignore[misc]
        assert count, pattern
    return page


def part_of(file: Path, name: str) -> bytes:
    """One of the parts that `single_file` was given, from the file that it was written to."""
    found = re.search(rf'id="{re.escape(name)}">([^<]*)</script>', file.read_text(encoding="utf-8"))
    if found is None:
        raise ExportError(f"{file}: has no {name}")
    return base64.b64decode(found[1])


def _joined(texts: Mapping[str, str], names: Sequence[str]) -> str:
    """Modules as one script. Their imports are one line each, and what they export stands at a line's start."""
    script = "".join(texts[name] for name in names)
    script = re.sub(r'^import \{[^}]*\} from "[^"]*";\n', "", script, flags=re.MULTILINE)
    return re.sub(r"^export (?=async|class|const|function)", "", script, flags=re.MULTILINE)


def _hash(text: str) -> str:
    """What a content security policy calls an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
