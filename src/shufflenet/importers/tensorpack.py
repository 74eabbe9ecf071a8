"""tensorpack's one network, in a file of TensorFlow's."""

from shufflenet.importers.source import PublicNetwork, Source

SOURCE = Source(
    name="tensorpack",
    page="https://github.com/tensorpack/tensorpack/tree/master/examples/ImageNetModels",
    key="",
    networks={"ShuffleNetV1-0.5x-g3": PublicNetwork("shufflenet_g3_x0_5", 42.32)},
    refusal="its file holds TensorFlow's variables alone, and TensorFlow pads and pools in ways of its own: make an "
    "ONNX file of the network (tf2onnx), which shufflenet import net.onnx takes",
)
