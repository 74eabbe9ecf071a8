// The network in WebAssembly: from pixels, or from an input that is preprocessed already, to logits and probabilities.
// It knows no page and no worker: it runs where it is called, in Node as well.

const MAGIC = "snet-web";
const FORMAT = 1;
const HEADER_BYTES = 16;
const STRIP_BYTES = 1 << 18; // of pixels at a time: a large picture is never in the engine's memory as a whole

// A module of one function of these instructions: whether a browser has them is whether it takes the module.
function hasInstructions(...instructions) {
    const body = [0, ...instructions, 0x0b];
    const code = [0x0a, body.length + 2, 1, body.length, ...body];
    return WebAssembly.validate(
        Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, ...code),
    );
}

const VECTOR = [0x41, 0, 0xfd, 0x0f]; // i32.const 0, i8x16.splat

// The best engine that this browser can run: "engine-relaxed.wasm" or "engine.wasm".
export function bestEngine() {
    if (typeof WebAssembly === "undefined" || !hasInstructions(...VECTOR)) {
        throw new Error(
            "this browser has no WebAssembly SIMD, which the engine needs; " +
                "Chrome and Edge 91, Firefox 89, Safari 16.4 and later ones have it",
        );
    }
    const three = [...VECTOR, ...VECTOR, ...VECTOR];
    const multiplyAdd = [0xfd, 0x85, 0x02];
    const dot = [0xfd, 0x93, 0x02];
    const relaxed = hasInstructions(...three, ...multiplyAdd) && hasInstructions(...three, ...dot);
    return relaxed ? "engine-relaxed.wasm" : "engine.wasm";
}

// What a model file holds: a description, and the model as the engine takes it. name is for messages.
export async function readModel(file, name) {
    const head = new DataView(file.slice(0, HEADER_BYTES));
    const magic = String.fromCharCode(...new Uint8Array(file, 0, Math.min(MAGIC.length, file.byteLength)));
    if (file.byteLength === 0) {
        throw new Error(`${name}: empty file`);
    }
    if (file.byteLength < HEADER_BYTES ? !MAGIC.startsWith(magic) : magic !== MAGIC) {
        throw new Error(`${name}: not a model that "shufflenet export --to web" wrote`);
    }
    if (file.byteLength >= HEADER_BYTES && head.getUint32(8, true) !== FORMAT) {
        throw new Error(`${name}: of another version than this page; copy the whole exported folder`);
    }
    const bytes = file.byteLength < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + head.getUint32(12, true);
    if (file.byteLength < bytes) {
        throw new Error(
            `${name}: file is cut short: ${file.byteLength.toLocaleString("en")} of ${bytes.toLocaleString("en")} ` +
                "bytes; load the page again, or copy the exported folder again",
        );
    }
    const content = await decompressed(file.slice(HEADER_BYTES, bytes)).catch(() => {
        throw new Error(`${name}: damaged, its checksum is wrong; load the page again, or copy the exported folder again`);
    });
    const end = 4 + new DataView(content).getUint32(0, true);
    const description = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, end - 4)));
    return { description, packed: content.slice(end) };
}

function decompressed(bytes) {
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

export class Network {
    #engine;

    // module: the engine, compiled; model: as readModel gives it.
    static async create(module, { description, packed }) {
        const network = new Network();
        network.#engine = (await WebAssembly.instantiate(module, {})).exports;
        network.description = description;
        const engine = network.#engine;
        const place = network.#placed(engine.place_model(description.network_bytes, packed.byteLength));
        new Uint8Array(engine.memory.buffer).set(new Uint8Array(packed), place);
        const status = engine.create();
        if (status !== 0) {
            throw new Error(`the model does not fit this engine: ${network.#message(status)}; copy the whole exported folder`);
        }
        return network;
    }

    // Makes the network's input of a picture of width x height pixels. read(left, top, width, height) gives these of its
    // pixels, red, green, blue and a fourth byte each.
    preprocess(width, height, read) {
        const engine = this.#engine;
        const at = engine.begin_picture(width, height);
        if (at === 0) {
            throw new Error(
                width && height
                    ? `${width} x ${height} pixels, more than 3,000 a side for one of the network's input`
                    : "a picture without pixels",
            );
        }
        const [left, top, partWidth, partHeight] = new Int32Array(engine.memory.buffer, at, 4);
        const most = Math.max(1, Math.floor(STRIP_BYTES / (4 * partWidth)));
        for (let line = 0; line < partHeight; line += most) {
            const lines = Math.min(most, partHeight - line);
            const place = this.#placed(engine.place_lines(lines));
            new Uint8Array(engine.memory.buffer).set(read(left, top + line, partWidth, lines), place);
            engine.take_lines(lines);
        }
    }

    // The logits, Float32Array [classes], of an input Float32Array [3, height, width]; without one of what preprocess made.
    logits(input) {
        const engine = this.#engine;
        if (input) {
            const { height, width } = this.description.input;
            if (input.length !== 3 * height * width) {
                throw new Error(`the network takes ${3 * height * width} numbers, [3, ${height}, ${width}], not ${input.length}`);
            }
            new Float32Array(engine.memory.buffer, engine.network_input(), input.length).set(input);
        }
        return new Float32Array(engine.memory.buffer, engine.run(), this.description.labels.length).slice();
    }

    #placed(at) {
        if (at === 0) {
            throw new Error("the browser has not enough memory for the network");
        }
        return at;
    }

    #message(status) {
        const bytes = new Uint8Array(this.#engine.memory.buffer, this.#engine.message(status));
        return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
    }
}

// Logits -> how likely each class is, Float64Array; they add up to 1.
export function softmax(logits) {
    const largest = logits.reduce((a, b) => Math.max(a, b));
    const powers = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / sum);
}

// How sure the network is that a picture shows one of its classes at all, from 0 to 1: where training made the model know
// that, of the logarithm of the sum of the logits' exponentials, else the highest probability.
export function sureness(logits, { unknown }) {
    const largest = logits.reduce((a, b) => Math.max(a, b));
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
    return unknown ? 1 / (1 + Math.exp(-largest) / sum) : 1 / sum;
}
