// This package's engine, as shufflenet export --to web writes it.

// engine: the name of one of the two.
export async function load(root, { engine }) {
    const { Network, readModel } = await import(`${root}code/network.js`);
    const [module, model] = await Promise.all([
        WebAssembly.compileStreaming(fetch(`${root}code/${engine}`)),
        fetch(`${root}files/model.bin`).then(async (file) => readModel(await file.arrayBuffer(), "model.bin")),
    ]);
    const network = await Network.create(module, model);
    return (input) => network.logits(input);
}
