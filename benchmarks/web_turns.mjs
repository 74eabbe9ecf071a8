// Times the network of two folders that `shufflenet export MODEL --to web` wrote, in turns in one process:
//
//     node benchmarks/web_turns.mjs BEFORE AFTER [SECONDS]
//
// Prints each folder's median and least milliseconds, and the median of AFTER's time over BEFORE's of the same turn, which other
// programs on the machine change least. Node 22 and later have relaxed SIMD; earlier ones time the engine without.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const RUNS_OF_A_TURN = 4;
const WARM_MS = 500;

const [before, after, seconds = "8"] = process.argv.slice(2);
if (after === undefined) {
    console.error("usage: node benchmarks/web_turns.mjs BEFORE AFTER [SECONDS]");
    process.exit(2);
}

async function load(folder) {
    const file = (name) => resolve(folder, name);
    const { Network, bestEngine, readModel } = await import(pathToFileURL(file("network.js")));
    const model = Uint8Array.from(readFileSync(file("model.bin"))).buffer;
    const engine = await WebAssembly.compile(readFileSync(file(bestEngine())));
    const network = await Network.create(engine, await readModel(model, "model.bin"));
    const { height, width } = network.description.input;
    const input = Float32Array.from({ length: 3 * height * width }, (_, i) => 2 * Math.sin(i * i));
    return { folder, engine: bestEngine(), run: () => network.logits(input), times: [] };
}

function turn({ run }) {
    const began = performance.now();
    for (let i = 0; i < RUNS_OF_A_TURN; i++) {
        run();
    }
    return (performance.now() - began) / RUNS_OF_A_TURN;
}

function median(values) {
    return [...values].sort((a, b) => a - b)[values.length >> 1];
}

const both = [await load(before), await load(after)];
const [first, second] = both.map(({ run }) => run());
const difference = Math.max(...first.map((logit, i) => Math.abs(logit - second[i])));
const largest = Math.max(...first.map(Math.abs));
if (!(difference <= 1e-4 * largest)) {
    console.error(`the logits differ by ${difference}, and the largest is ${largest}: not the same model`);
    process.exit(1);
}
for (const end = performance.now() + WARM_MS; performance.now() < end; ) {
    both.forEach(turn);
}
for (const end = performance.now() + 1000 * Number(seconds); performance.now() < end; ) {
    both.forEach((each) => each.times.push(turn(each)));
}
for (const { folder, engine, times } of both) {
    console.log(`${folder} (${engine}): median ${median(times).toFixed(3)} ms, least ${Math.min(...times).toFixed(3)} ms`);
}
const shares = both[1].times.map((time, i) => time / both[0].times[i]);
console.log(`after / before: ${median(shares).toFixed(3)}, ${shares.length} turns`);
