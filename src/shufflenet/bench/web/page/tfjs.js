// TensorFlow.js on its WebAssembly backend with SIMD, on one thread. The network comes as a list of its operators, see
// tfjs_network.py, which are called one by one: no less than a saved graph does.

export async function load(root, { shape }) {
    importScripts(`${root}code/@tensorflow/tfjs-core/dist/tf-core.min.js`);
    importScripts(`${root}code/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js`);
    tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
    tf.wasm.setWasmPaths(`${root}code/@tensorflow/tfjs-backend-wasm/dist/`);
    await tf.setBackend("wasm");
    await tf.ready();
    const [network, bytes] = await Promise.all([
        fetch(`${root}files/network.json`).then((file) => file.json()),
        fetch(`${root}files/weights.bin`).then((file) => file.arrayBuffer()),
    ]);
    const weights = network.tensors.map(({ shape, offset, dtype }) => {
        const count = shape.reduce((a, b) => a * b, 1);
        const Values = dtype === "int32" ? Int32Array : Float32Array;
        return tf.tensor(new Values(bytes, offset, count), shape, dtype);
    });
    const steps = network.steps.map((step) => ({ ...step, weights: step.weights.map((i) => weights[i]) }));
    return (picture) => {
        const logits = tf.tidy(() => {
            const values = [tf.tensor(picture, shape)];
            for (const step of steps) {
                values.push(operators[step.kind](step, ...step.inputs.map((i) => values[i])));
            }
            return values.at(-1);
        });
        const result = logits.dataSync();
        logits.dispose();
        return result;
    };
}

const operators = {
    convolution({ stride, pads, activation, weights: [filter, bias] }, x) {
        return tf.fused.conv2d({ x, filter, bias, activation, strides: stride, pad: pads });
    },
    depthwise({ stride, pads, activation, weights: [filter, bias] }, x) {
        return tf.fused.depthwiseConv2d({ x, filter, bias, activation, strides: stride, pad: pads });
    },
    max_pool({ size, stride, pads }, x) {
        return tf.maxPool(x, size, stride, pads);
    },
    mean: (_, x) => tf.mean(x, [1, 2]),
    fully_connected({ activation, weights: [b, bias] }, a) {
        return tf.fused.matMul({ a, b, bias, activation });
    },
    add({ activation }, a, b) {
        const sum = tf.add(a, b);
        return activation === "relu" ? tf.relu(sum) : sum;
    },
    concat: (_, ...parts) => tf.concat(parts, -1),
    split: ({ first, channels }, x) => tf.slice(x, [0, 0, 0, first], [-1, -1, -1, channels]),
    gather: ({ weights: [order] }, x) => tf.gather(x, order, 3),
    shuffle({ groups }, x) {
        const [batch, height, width, channels] = x.shape;
        const apart = tf.transpose(tf.reshape(x, [batch, height * width, groups, channels / groups]), [0, 1, 3, 2]);
        return tf.reshape(apart, x.shape);
    },
};
