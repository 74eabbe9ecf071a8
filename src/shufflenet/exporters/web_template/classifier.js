// Says what is on a picture, in the browser:
//
//   import { Classifier } from "./classifier.js";
//   const classifier = await Classifier.load();
//   const [best] = await classifier.classify(file);
//
// Pictures never leave the device. Types and more words are in classifier.d.ts.

import { MODEL, nameOf, read, readEngine, startWorker } from "./files.js";
import { bestEngine, readModel } from "./network.js";

export class Classifier {
    #module;
    #model;
    #most; // workers
    #workers = new Set();
    #idle = [];
    #waiting = []; // pictures that no worker has begun with
    #closed = false;

    static async load(url = MODEL, { workers = navigator.hardwareConcurrency || 1 } = {}) {
        if (!Number.isInteger(workers) || workers < 1) {
            throw new RangeError(`workers must be a whole number from 1 on, not ${workers}`);
        }
        const classifier = new Classifier();
        const name = bestEngine();
        const [engine, model] = await Promise.all([
            readEngine(name).then((bytes) => compiled(bytes, name)),
            read(url).then((file) => readModel(file, nameOf(url))),
        ]);
        classifier.#module = engine;
        classifier.#model = model;
        classifier.#most = workers;
        classifier.engine = name;
        classifier.name = model.description.name;
        classifier.labels = model.description.labels;
        classifier.input = model.description.input;
        classifier.preprocessing = model.description.preprocessing;
        const { unknown } = model.description; // the threshold of the logarithm, see sureness
        classifier.unknown = unknown ? 1 / (1 + Math.exp(-unknown.threshold)) : 0;
        await classifier.#start(); // a model that can't be used shows here, and not with the first picture
        return classifier;
    }

    async classify(image, { topK = 5, thumbnail = 0 } = {}) {
        if (!Number.isInteger(topK) || topK < 1) {
            throw new RangeError(`topK must be a whole number from 1 on, not ${topK}`);
        }
        const picture = await sendable(image);
        const transfer = picture instanceof ImageBitmap ? [picture] : [];
        const { predictions, ...others } = await this.#ask({ picture, topK, thumbnail }, transfer);
        return Object.assign(predictions, others);
    }

    async logits(input) {
        if (!(input instanceof Float32Array)) {
            throw new TypeError("the network's input is a Float32Array [3, height, width]");
        }
        const { logits, ms } = await this.#ask({ input }, []);
        return Object.assign(logits, { times: { network: ms } });
    }

    close() {
        this.#closed = true;
        for (const worker of this.#workers) {
            this.#end(worker, "the classifier was closed");
        }
        for (const { reject } of this.#waiting.splice(0)) {
            reject(new Error("the classifier was closed"));
        }
    }

    #ask(message, transfer) {
        if (this.#closed) {
            return Promise.reject(new Error("the classifier was closed"));
        }
        return new Promise((resolve, reject) => {
            this.#waiting.push({ message, transfer, resolve, reject });
            this.#dispatch();
        });
    }

    // Hands what waits to idle workers, and starts another worker if there are too few.
    #dispatch() {
        while (this.#waiting.length && this.#idle.length) {
            send(this.#idle.pop(), this.#waiting.shift());
        }
        if (this.#waiting.length && this.#workers.size < this.#most && ![...this.#workers].some((w) => w.starting)) {
            this.#start().catch((error) => {
                if (this.#workers.size === 0) {
                    this.#waiting.splice(0).forEach(({ reject }) => reject(error));
                }
            });
        }
    }

    // Starts a worker and gives it the model; it takes pictures from then on.
    async #start() {
        const worker = { thread: startWorker(), job: null, starting: true };
        this.#workers.add(worker);
        worker.thread.onmessage = ({ data }) => {
            const { resolve, reject } = worker.job;
            worker.job = null;
            if (data.error === undefined) {
                resolve(data.result);
            } else {
                reject(new Error(data.error));
            }
            if (!worker.starting) {
                this.#idle.push(worker);
                this.#dispatch();
            }
        };
        worker.thread.onerror = (event) => {
            event.preventDefault();
            this.#end(worker, `the worker stopped: ${event.message ?? "its script can't be loaded"}`);
            this.#dispatch();
        };
        const message = { load: { module: this.#module, model: this.#model } };
        try {
            await new Promise((resolve, reject) => send(worker, { message, transfer: [], resolve, reject }));
        } catch (error) {
            this.#end(worker, error.message);
            throw error;
        }
        worker.starting = false;
        this.#idle.push(worker);
        this.#dispatch();
    }

    #end(worker, why) {
        worker.thread.terminate();
        worker.job?.reject(new Error(why));
        worker.job = null;
        this.#workers.delete(worker);
        this.#idle = this.#idle.filter((other) => other !== worker);
    }
}

function send(worker, job) {
    worker.job = job;
    worker.thread.postMessage(job.message, job.transfer);
}

async function compiled(bytes, name) {
    try {
        return await WebAssembly.compile(bytes);
    } catch (error) {
        throw new Error(`${name}: can't be used: ${error.message}`);
    }
}

// What a worker can be sent: the file itself, to be decoded there, or the pixels that an element shows now.
async function sendable(image) {
    if (image instanceof Blob || image instanceof ImageData) {
        return image;
    }
    const name = image?.constructor?.name ?? String(image);
    const isOne = (type) => globalThis[type] !== undefined && image instanceof globalThis[type];
    if (!["ImageBitmap", "HTMLImageElement", "HTMLCanvasElement", "OffscreenCanvas", "HTMLVideoElement", "VideoFrame"].some(isOne)) {
        throw new TypeError(
            `a picture is a File, Blob, ImageBitmap, ImageData, VideoFrame, or an img, canvas or video element, not ${name}`,
        );
    }
    if (isOne("HTMLImageElement")) {
        await image.decode().catch(() => {
            throw new Error(`${image.currentSrc || "img"}: not loaded, or not a picture`);
        });
    }
    if (isOne("HTMLVideoElement") && image.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) {
        throw new Error("the video has no picture yet");
    }
    try {
        return await createImageBitmap(image, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    } catch (error) {
        throw new Error(`the ${name}'s pixels can't be read: ${error.message}`);
    }
}
