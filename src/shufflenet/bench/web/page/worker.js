// One configuration of a runtime in a worker of its own. A classic worker, since LiteRT.js and TensorFlow.js load parts of
// themselves by importScripts, which module workers lack.

let run; // from an input, Float32Array, to logits, Float32Array, or to a promise of them
let input;

async function floats(address) {
    const response = await fetch(address);
    if (!response.ok) {
        throw new Error(`${address}: the server says ${response.status}`);
    }
    return new Float32Array(await response.arrayBuffer());
}

async function during(ms, times) {
    const end = performance.now() + ms;
    do {
        const began = performance.now();
        await run(input);
        times.push(performance.now() - began);
    } while (performance.now() < end);
}

const calls = {
    // runtime: script whose load gives what run is; root: where its packages and files are; given: what else load takes.
    async prepare({ runtime, root, address, given }) {
        const { load } = await import(runtime);
        input = await floats(address);
        run = await load(root, given);
        return Array.from(await run(input));
    },

    // The logits of the input again: a run must leave it as it was.
    async logits() {
        return Array.from(await run(input));
    },

    // The best class of each of the inputs that lie there one behind the other.
    async classes(address) {
        const all = await floats(address);
        const classes = [];
        for (let at = 0; at < all.length; at += input.length) {
            const logits = await run(all.slice(at, at + input.length));
            classes.push(logits.indexOf(logits.reduce((a, b) => Math.max(a, b))));
        }
        return classes;
    },

    // The milliseconds of each run of a turn; the warm-up runs before them are left out.
    async turn({ warm, timed }) {
        const times = [];
        await during(1000 * warm, []);
        await during(1000 * timed, times);
        return times;
    },
};

self.onmessage = async ({ data: { call, given } }) => {
    try {
        self.postMessage({ result: await calls[call](...given) });
    } catch (error) {
        self.postMessage({ error: `${error?.message ?? error}` });
    }
};
