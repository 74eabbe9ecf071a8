"""torch.hub: every ShuffleNet as a function, ``torch.hub.load(REPOSITORY, "shufflenet_g3_x0_5", pretrained=True)``.

A network is float32 [N, 3, H, W] -> logits [N, classes]. ``classes`` is their number; with ``pretrained`` the weights
are those that come with the package, of Tiny ImageNet's 200 classes, or for another number all but the classifier's.
"""

import sys as _sys
from collections.abc import Callable as _Callable
from pathlib import Path as _Path

dependencies = ["torch", "numpy", "safetensors", "PIL"]

# Also where the package is not installed, nor its engine built.
_sys.path.insert(0, str(_Path(__file__).parent / "src"))

from shufflenet.networks.module import Network as _Network  # noqa: E402
from shufflenet.networks.module import create_model as _create_model  # noqa: E402
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1 as _ShuffleNetV1  # noqa: E402


def _entry(name: str) -> _Callable[..., _Network]:
    def create(pretrained: bool = False, classes: int | None = None) -> _Network:
        network = _create_model(name, classes, pretrained)
        return network.eval() if pretrained else network

    create.__name__ = name
    create.__doc__ = f"The module {name}; the arguments are told above."
    return create


globals().update({name: _entry(name) for name in _ShuffleNetV1.variants})
