// onnxruntime-web on one thread, its WebAssembly alone.

export async function load(root, { file, input, output, shape }) {
    const ort = await import(`${root}code/onnxruntime-web/dist/ort.wasm.min.mjs`);
    ort.env.wasm.wasmPaths = new URL(`${root}code/onnxruntime-web/dist/`, location.href).href;
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    const session = await ort.InferenceSession.create(`${root}files/${file}`, {
        executionProviders: ["wasm"],
        graphOptimizationLevel: "all",
    });
    return async (picture) => {
        const result = await session.run({ [input]: new ort.Tensor("float32", picture, shape) });
        return result[output].data;
    };
}
