"""`shufflenet serve`: a model behind an address."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from shufflenet.commands.errors import CannotStart, refusing
from shufflenet.commands.terminal import log


@click.command(short_help="Serve a model over HTTP.")
@click.argument("model", default="shufflenet_g3_x0_5")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 is every network's."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one.")
@click.option("--processes", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes that serve.")
@click.option(
    "--threads", type=click.IntRange(1, 1024), help="Of each process.  [default: one for each core of its share]"
)
@click.option(
    "--waiting",
    type=click.IntRange(0),
    default=64,
    show_default=True,
    help="Requests of a process that may wait for a thread; others get 429.",
)
@click.option(
    "--max-bytes", type=click.IntRange(1), default=20_000_000, show_default=True, help="Refuse longer bodies: 413."
)
@click.option("--max-pixels", type=click.IntRange(min=1), help="Refuse larger pictures: 413.  [default: 100 million]")
@click.option("--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Labels per picture.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Requests must bring this file's text as Authorization: Bearer TEXT.",
)
@click.option(
    "--page",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with an index.html to show at /.",
)
def serve(
    model: str,
    host: str,
    port: int,
    processes: int,
    threads: int | None,
    waiting: int,
    max_bytes: int,
    max_pixels: int | None,
    top_k: int,
    token_file: Path | None,
    page: Path | None,
) -> None:
    """Answer pictures with labels over HTTP: POST one to /predict.

    MODEL is one of the package, a model file, or SOURCE:NETWORK (see import). The address is printed once it is there.
    SIGTERM and Ctrl-C answer what was accepted, then end.

    \b
    Examples:
      shufflenet serve
      shufflenet serve model.safetensors --host 0.0.0.0 --token-file token.txt
      curl --data-binary @cat.jpg http://127.0.0.1:8000/predict
    """
    from shufflenet.install_hint import install_hint
    from shufflenet.model_file import ModelFileError
    from shufflenet.models import load_model
    from shufflenet.pictures.images import MAX_PIXELS
    from shufflenet.threads import usable_cores

    try:
        import python_multipart  # noqa: F401 - which Starlette asks for when the first form comes

        from shufflenet.serve import server
        from shufflenet.serve.settings import Settings
    except ModuleNotFoundError as error:
        raise CannotStart(f"{error.name} is needed for this: {install_hint('serve')}") from None

    if page is not None and not (page / "index.html").is_file():
        raise click.UsageError(f"--page {page} has no index.html.")
    token = ""
    if token_file is not None:
        token = token_file.read_text(encoding="utf-8", errors="replace").strip()
        if not token.isascii() or not token.isprintable() or not token:
            raise click.UsageError(f"--token-file {token_file} must hold one line of ASCII letters and digits.")
    elif not _is_local(host):
        log(f"{host}: anyone who can reach this address is answered; --token-file asks for a token")
    with refusing(ModelFileError, ImportError, OSError):
        load_model(model)
        server.serve(
            Settings(
                model=model,
                name=Path(model).stem if Path(model).suffix else model,
                host=host,
                port=port,
                processes=processes,
                threads=threads or max(1, usable_cores() // processes),
                waiting=waiting,
                max_bytes=max_bytes,
                max_pixels=MAX_PIXELS if max_pixels is None else max_pixels,
                top_k=top_k,
                token=token,
                page=page,
            ),
            click.echo,
        )


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
