// LiteRT.js on one thread, by XNNPACK in WebAssembly, with relaxed SIMD where the browser has it.

export async function load(root, { file, shape }) {
    const { loadLiteRt, loadAndCompile, Tensor } = await import(`${root}code/@litertjs/core/dist/index.js`);
    self.Module = { locateFile: (name) => `${root}code/@litertjs/core/wasm/${name}` };
    await loadLiteRt(`${root}code/@litertjs/core/wasm/`);
    const network = await loadAndCompile(`${root}files/${file}`, { accelerator: "wasm" });
    return async (picture) => {
        const input = new Tensor(picture, shape);
        const [output] = await network.run([input]);
        const logits = output.toTypedArray().slice();
        input.delete();
        output.delete();
        return logits;
    };
}
