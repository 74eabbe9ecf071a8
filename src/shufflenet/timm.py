"""ShuffleNet among timm's models: after ``import shufflenet.timm`` its ``create_model("shufflenet_g3_x1_0")`` makes it.

Tags: ``.tiny_imagenet`` are the weights that come with the package, for 200 classes at 64 x 64 pixels;
``.pytorchcv_in1k`` are public ones for ImageNet at 224, downloaded when they are first used. Without a tag
``pretrained=True`` takes the first that there is. Without weights a network is the paper's: 1,000 classes, 224 x 224
pixels.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from timm.layers import create_classifier
from timm.models import build_model_with_cfg, checkpoint_seq, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from shufflenet import hub_folder
from shufflenet.importers import pytorchcv
from shufflenet.models import embedded_models, load_model
from shufflenet.networks.network import ShuffleNet, initialise
from shufflenet.networks.published import with_counts
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

_EMBEDDED, _PUBLIC = "tiny_imagenet", "pytorchcv_in1k"
_SOURCE = pytorchcv.SOURCE
_Method = TypeVar("_Method", bound=Callable[..., Any])
_PARTS = ("maxpool", "stage2", "stage3", "stage4")  # where `ShuffleNet.feature_info` takes features


def _not_scripted(method: _Method) -> _Method:
    """Leaves a method to Python when torch.jit.script compiles the network."""
    ignored: _Method = torch.jit.ignore(method)  # type: ignore[no-untyped-call]
    return ignored


class TimmShuffleNet(ShuffleNet):
    """`ShuffleNet` with the methods of timm's models; the state dict is the same.

    Args:
        groups, scale: of the family, as in `ShuffleNetV1`; so are the arguments that are not explained here.
        num_classes: 0: no classifier.
        in_chans: channels of a picture.
        global_pool: avg, max, avgmax, catavgmax; or empty, with ``num_classes`` 0: none.
        drop_rate: of dropout before the classifier.
        output_stride: 32, no other.
        device, dtype: of the weights.
    """

    def __init__(
        self,
        groups: int = 3,
        scale: float = 1.0,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        output_stride: int = 32,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **fields: Any,
    ) -> None:
        if output_stride != 32:
            raise ValueError(
                f"output_stride is 32, not {output_stride}; with stem_stride=1 every level is twice as fine"
            )
        with nullcontext() if device is None else torch.device(device):
            super().__init__(ShuffleNetV1(groups, scale, classes=max(1, num_classes), in_channels=in_chans, **fields))
        self.to(dtype=dtype)
        self.num_features: int = self.arch.features
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        self.pool_type = global_pool
        self.reset_classifier(num_classes, global_pool)

    @_not_scripted
    def no_weight_decay(self) -> set[str]:
        """timm's optimizers leave out batch norm and biases by themselves."""
        return set()

    @_not_scripted
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Parameters by their layer, for learning rates that fall with depth."""
        return {"stem": r"^(?:conv1|bn1)", "blocks": r"^stage(\d+)" if coarse else r"^stage(\d+)\.(\d+)"}

    @_not_scripted
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Activations inside of stages are computed again in the backward pass."""
        self.grad_checkpointing = enable

    @_not_scripted
    def get_classifier(self) -> nn.Module:
        """The last layer; without classes `nn.Identity`."""
        return self.fc

    @_not_scripted
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new classifier; without classes features come out: [N, num_features], without pooling [N, C, H, W]."""
        self.num_classes = num_classes
        self.pool_type = self.pool_type if global_pool is None else global_pool
        like = self.conv1.weight
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=self.pool_type)
        self.global_pool.train(self.training)
        self.fc.apply(initialise).to(device=like.device, dtype=like.dtype).train(self.training)
        double = "cat" in self.pool_type
        self.head_hidden_size = self.num_features * (2 if double else 1)
        self.labels = ()

    def forward_features(self, x: Tensor) -> Tensor:
        """[N, in_chans, H, W] -> stage 4's output, [N, num_features, H/32, W/32]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        if self.grad_checkpointing and not torch.jit.is_scripting():  # type: ignore[attr-defined]
            for stage in (self.stage2, self.stage3, self.stage4):
                x = checkpoint_seq(stage, x)
            return x
        return self.stage4(self.stage3(self.stage2(x)))  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Stage 4's output -> logits, or what the classifier reads."""
        x = self.global_pool(x)
        if self.drop_rate > 0.0:
            x = nn.functional.dropout(x, p=self.drop_rate, training=self.training)
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    @_not_scripted
    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The levels of features that ``indices`` name, and stage 4's output: levels are max pool and stages 2 to 4.

        Args:
            indices: places of levels; a number: so many of the last; None: all.
            norm: without meaning: batch norm is inside of the units.
            stop_early: compute nothing behind the last level asked for.
            output_fmt: NCHW, no other.
            intermediates_only: without stage 4's output.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt is NCHW, not {output_fmt!r}")
        places, last = feature_take_indices(len(_PARTS), indices)
        found: list[Tensor] = []
        x = self.relu(self.bn1(self.conv1(x)))
        for place, name in enumerate(_PARTS[: last + 1] if stop_early else _PARTS):
            part = self.get_submodule(name)
            x = checkpoint_seq(part, x) if self.grad_checkpointing and place else part(x)
            if place in places:
                found.append(x)
        return found if intermediates_only else (x, found)

    @_not_scripted
    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drops stages behind the last level that ``indices`` name, and the classifier; returns the levels' places."""
        places, last = feature_take_indices(len(_PARTS), indices)
        for name in _PARTS[last + 1 :]:
            setattr(self, name, nn.Sequential())
        if last + 1 < len(_PARTS):
            self.num_features = self.feature_info[last]["num_chs"]
        if prune_head or last + 1 < len(_PARTS):
            self.reset_classifier(0, "")
        return list(places)


def _names() -> list[str]:
    """The family's members of `TimmShuffleNet`'s class, and those that have public weights."""
    own = [name for name, fields in ShuffleNetV1.variants.items() if not fields.get("squeeze_excitation")]
    return sorted({*own, *(network.arch for network in _SOURCE.networks.values())})


def _configuration(name: str, tag: str) -> dict[str, Any]:
    """What timm's registry holds of the weights ``tag``; without one: of the network of the paper."""
    how: dict[str, Any] = {
        "num_classes": 1000, "input_size": (3, 224, 224), "pool_size": (7, 7), "crop_pct": 0.875,
        "interpolation": "bilinear", "first_conv": "conv1", "classifier": "fc", "license": "apache-2.0",
        "paper_ids": "arXiv:1707.01083", "paper_name": "ShuffleNet",
    }  # fmt: skip
    if tag == _EMBEDDED:
        config = hub_folder.config(load_model(name))
        told = {
            key: tuple(value) if isinstance(value, list) else value for key, value in config["pretrained_cfg"].items()
        }
        return how | told | {"label_names": tuple(config["label_names"]), "file": f"{name} (package)"}
    if tag == _PUBLIC:
        return how | {"url": _public(name)[1], "license": _SOURCE.licence, "origin_url": _SOURCE.page}
    return how


def _public(name: str) -> tuple[str, str]:
    """The name and address of public weights; empty: there are none."""
    for network, about in _SOURCE.networks.items():
        if about.arch == name:
            return f"{_SOURCE.name}:{network}", about.address or ""
    return "", ""


def _tags(name: str) -> list[str]:
    return [_EMBEDDED] * (name in embedded_models()) + [_PUBLIC] * bool(_public(name)[0])


default_cfgs = generate_default_cfgs(
    {f"{name}.{tag}" if tag else name: _configuration(name, tag) for name in _names() for tag in _tags(name) or [""]}
)


def _create(name: str, pretrained: bool, options: dict[str, Any]) -> Any:
    """The network; ``options`` are those of timm's models and `TimmShuffleNet`'s."""
    given = options.pop("pretrained_cfg", None)
    overlay = options.get("pretrained_cfg_overlay") or {}
    fields = dict(ShuffleNetV1.fields_of(name) or {})
    if given and not isinstance(given, str):  # of weights from elsewhere, such as hf-hub:
        return _built(name, pretrained, given, fields | options)
    tag = given or next(iter(_tags(name)), "") * pretrained
    if tag not in ("", *_tags(name)):
        raise ValueError(f"{name} has no weights {tag!r}; there are: {', '.join(_tags(name)) or 'none'}")
    about = _configuration(name, tag) | {"architecture": name, "tag": tag or None}
    elsewhere = any(overlay.get(key) for key in ("url", "file", "hf_hub_id", "state_dict"))
    if tag == _EMBEDDED or (tag and pretrained and not elsewhere):
        model = load_model(name if tag == _EMBEDDED else _public(name)[0])
        assert isinstance(model.graph.architecture, ShuffleNetV1)
        fields |= hub_folder.arguments(model.graph.architecture)
        if pretrained and not elsewhere:  # read by the package, which checks the hash; timm adapts classes and channels
            about["state_dict"] = {key: torch.from_numpy(tensor) for key, tensor in model.tensors.items()}
    network = _built(name, pretrained, about, fields | options)
    network.pretrained_cfg.pop("state_dict", None)
    return network


def _built(name: str, pretrained: bool, about: Any, options: dict[str, Any]) -> Any:
    feature_cfg = {"out_indices": tuple(range(len(_PARTS)))}
    return build_model_with_cfg(
        TimmShuffleNet, name, pretrained, about, feature_cfg=feature_cfg, pretrained_filter_fn=with_counts, **options
    )


def _entry(name: str) -> Callable[..., nn.Module]:
    def create(pretrained: bool = False, **options: Any) -> nn.Module:
        network: nn.Module = _create(name, pretrained, options)
        return network

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"`TimmShuffleNet` {name}."
    return create


for _name in _names():
    globals()[_name] = register_model(_entry(_name))
