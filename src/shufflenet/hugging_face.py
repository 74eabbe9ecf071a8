"""Models on the Hugging Face Hub: a repository holds a model file as model.safetensors.

`hf:user/model` names one, `hf:user/model@revision` one of its branches, tags or commits.
"""

from __future__ import annotations

import os
from pathlib import Path

from shufflenet.files import printable
from shufflenet.install_hint import install_hint
from shufflenet.model_file import ModelFileError

PREFIX = "hf:"
MODEL = "model.safetensors"


def fetch(name: str) -> Path:
    """The model file of ``hf:user/model``, from the Hub's cache or downloaded to it.

    Raises:
        ModelFileError: huggingface_hub is not installed, or the Hub does not give the file.
    """
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    try:
        import huggingface_hub
    except ImportError:
        raise ModelFileError(f"{name}: needs huggingface_hub: {install_hint('hub')}") from None
    try:
        return Path(huggingface_hub.hf_hub_download(repository, MODEL, revision=revision or None))
    # The library raises ValueError for names that it does not take, and its own or its HTTP client's for all the rest.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelFileError(f"{printable(name)}: the Hub does not give {MODEL}: {printable(reason)}") from error


def upload(folder: str | os.PathLike[str], repository: str, private: bool | None = None, message: str = "") -> str:
    """Makes the repository ``user/model`` if it is not there, and commits what is in ``folder``; returns its address.

    Raises:
        ImportError: huggingface_hub is not installed.
        Whatever huggingface_hub raises: nobody is logged in, or the Hub refuses.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise ImportError(f"pushing to the Hub needs huggingface_hub: {install_hint('hub')}") from None
    hub = huggingface_hub.HfApi()
    repository = hub.create_repo(repository, private=private, exist_ok=True).repo_id
    commit = hub.upload_folder(
        repo_id=repository, folder_path=os.fspath(folder), commit_message=message or f"Upload {MODEL}"
    )
    return str(commit.repo_url if hasattr(commit, "repo_url") else commit)
