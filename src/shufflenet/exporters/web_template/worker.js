// A worker with a network of its own: it decodes pictures and classifies them beside the page, which stays responsive.
//
// A message is { load: { module, model } }, { picture, topK, thumbnail } or { input }; the answer, before the next one comes, is
// { result } or { error }.

import { Network, softmax, sureness } from "./network.js";

// As the Python package decodes: upright, in the file's own colours.
const DECODING = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
const MOST_PIXELS = 100_000_000;

// The first bytes of picture files that browsers know, as Latin-1.
const FORMATS = /^(?:\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|BM|RIFF....WEBP|....ftyp)/s;

let network;
let canvas;

self.onmessage = async ({ data: { load, picture, topK, thumbnail, input } }) => {
    try {
        if (load) {
            network = await Network.create(load.module, load.model);
            self.postMessage({});
        } else if (input) {
            self.postMessage({ result: runAlone(input) });
        } else {
            self.postMessage({ result: await classified(picture, topK, thumbnail) });
        }
    } catch (error) {
        self.postMessage({ error: error.message });
    }
};

function runAlone(input) {
    const began = performance.now();
    const logits = network.logits(input);
    return { logits, ms: performance.now() - began };
}

async function classified(picture, topK, thumbnail) {
    const began = performance.now();
    const bitmap = await decoded(picture);
    let decode = performance.now() - began;
    let preprocessed, small;
    try {
        network.preprocess(bitmap.width, bitmap.height, (...part) => {
            const asked = performance.now();
            const pixels = pixelsOf(bitmap, ...part);
            decode += performance.now() - asked;
            return pixels;
        });
        preprocessed = performance.now();
        small = thumbnail && (await reduced(bitmap, thumbnail));
    } finally {
        bitmap.close();
    }
    const asked = performance.now();
    const logits = network.logits();
    const done = performance.now();
    if (!logits.every(Number.isFinite)) {
        throw new Error("the network's logits of it are not finite");
    }
    const { labels } = network.description;
    const predictions = Array.from(softmax(logits), (probability, index) => ({ label: labels[index], probability, index }))
        .sort((a, b) => b.probability - a.probability)
        .slice(0, topK);
    const times = { decode, preprocess: preprocessed - began - decode, network: done - asked };
    return { predictions, times, thumbnail: small, known: sureness(logits, network.description) };
}

// The picture as a JPEG file whose longer side has at most so many pixels.
function reduced(bitmap, side) {
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((length) => Math.max(1, Math.round(scale * length)));
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0, width, height);
    return context.canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
}

async function decoded(picture) {
    const bitmap = picture instanceof ImageBitmap ? picture : await createImageBitmap(picture, DECODING).catch(() => null);
    if (!bitmap) {
        throw new Error(await whyNotDecoded(picture));
    }
    if (bitmap.width * bitmap.height > MOST_PIXELS) {
        const { width, height } = bitmap;
        bitmap.close();
        throw new Error(`${width} x ${height} pixels, over the limit of ${MOST_PIXELS.toLocaleString("en")}`);
    }
    return bitmap;
}

async function whyNotDecoded(picture) {
    if (!(picture instanceof Blob)) {
        return "a picture without pixels";
    }
    const start = await picture.slice(0, 16).arrayBuffer().catch(() => null);
    if (start === null) {
        return "the file can't be read; it was changed or moved, or is a folder";
    }
    if (start.byteLength === 0) {
        return "empty file";
    }
    return FORMATS.test(String.fromCharCode(...new Uint8Array(start)))
        ? "damaged picture, or of a kind that this browser can't read"
        : "not a picture in a format that can be read (JPEG, PNG, GIF, BMP, WebP and what else this browser knows)";
}

// A part of the picture's pixels, over white where it is transparent.
function pixelsOf(bitmap, left, top, width, height) {
    canvas ??= new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    if (canvas.canvas.width !== width || canvas.canvas.height !== height) {
        canvas.canvas.width = width;
        canvas.canvas.height = height;
    }
    canvas.fillStyle = "white";
    canvas.fillRect(0, 0, width, height);
    canvas.drawImage(bitmap, -left, -top);
    return canvas.getImageData(0, 0, width, height).data;
}
