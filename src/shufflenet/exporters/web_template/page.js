// The page: what its buttons do, and how pictures come to the classifier and answers to the screen.

import { Camera } from "./camera.js";
import { Classifier } from "./classifier.js";
import { prepareOffline } from "./files.js";
import { asCsv, asJson, Gallery } from "./gallery.js";
import { watchPictures } from "./incoming.js";
import { View } from "./view.js";

const THUMBNAIL = 320; // pixels, of a tile on a screen with two pixels for one of the page

const element = (id) => document.getElementById(id);
const [status, problem, cameraButton, otherCamera] = ["status", "problem", "camera", "switch-camera"].map(element);

const view = new View(
    Object.fromEntries(["picture", "video", "hint", "source", "classes", "nothing", "times"].map((id) => [id, element(id)])),
);
const gallery = new Gallery(element("pictures"), open);
const camera = new Camera(element("video"));
let classifier;
let shown; // the picture in the view
let visit = 0; // goes up when everything is cleared: answers to what was there before are not wanted then

start();

async function start() {
    try {
        classifier = await Classifier.load();
    } catch (error) {
        status.textContent = "";
        complain(error);
        return;
    }
    element("model").textContent = classifier.name;
    element("engine").textContent =
        classifier.engine === "engine.wasm" ? "WebAssembly SIMD." : "WebAssembly with relaxed SIMD.";
    status.textContent = "Ready.";
    for (const id of ["choose", "choose-folder", "camera"]) {
        element(id).disabled = false;
    }
    const sources = { choose: element("choose"), files: element("files"), chooseFolder: element("choose-folder") };
    watchPictures({ ...sources, folder: element("folder"), dropOn: document.body }, classifyAll, say);
    cameraButton.addEventListener("click", () => (camera.runs ? stopCamera() : startCamera()));
    otherCamera.addEventListener("click", startCamera);
    element("csv").addEventListener("click", () => download(asCsv(gallery.pictures), "text/csv", "csv"));
    element("json").addEventListener("click", () => download(asJson(gallery.pictures), "application/json", "json"));
    element("clear").addEventListener("click", clear);
    prepareOffline();
}

function complain(error) {
    say(error.message);
}

// Shows a sentence about what went wrong, or none.
function say(words) {
    problem.hidden = !words;
    problem.textContent = words;
}

function open(picture) {
    stopCamera();
    shown = picture;
    gallery.mark(picture);
    view.show(picture);
    say(picture.error ? `${picture.path}: ${picture.error}` : "");
}

async function classifyAll(pictures) {
    stopCamera();
    say("");
    const began = performance.now();
    const begunIn = visit;
    gallery.add(pictures);
    element("gallery").hidden = gallery.pictures.length < 2;
    open(pictures[0]);
    let done = 0;
    const progress = new Progress(pictures.length, began);
    const one = async (picture) => {
        try {
            const predictions = orNone(await classifier.classify(picture.file, { thumbnail: THUMBNAIL }));
            Object.assign(picture, { predictions, times: predictions.times, thumbnail: predictions.thumbnail });
        } catch (error) {
            picture.error = error.message;
        }
        if (visit === begunIn) {
            progress.show(++done, picture.error !== undefined);
            gallery.refresh(picture);
            if (picture === shown) {
                open(picture);
            }
        }
    };
    // Two at a time for each worker, so that none waits and none is begun with after everything was cleared.
    const next = pictures.values();
    const runner = async () => {
        for (const picture of next) {
            if (visit === begunIn) {
                await one(picture);
            }
        }
    };
    await Promise.all(Array.from({ length: 2 * (navigator.hardwareConcurrency || 1) }, runner));
    if (visit === begunIn) {
        status.textContent = progress.words;
    }
}

// An answer with "none of these" before the classes where the network is less sure of them all than the model's threshold.
function orNone(predictions) {
    if (predictions.known < classifier.unknown) {
        predictions.unshift({ label: "none of these", probability: 1 - predictions.known, index: -1 });
    }
    return predictions;
}

// How far a choice of pictures is, on the screen at most once a frame.
class Progress {
    #pictures;
    #began;
    #frame = 0;
    #broken = 0;

    constructor(pictures, began) {
        this.#pictures = pictures;
        this.#began = began;
        status.textContent = pictures === 1 ? "Classifying …" : `Classifying ${pictures.toLocaleString("en")} pictures …`;
    }

    show(done, isBroken) {
        const rate = (1000 * done) / (performance.now() - this.#began);
        this.#broken += isBroken;
        const unread = this.#broken ? `, ${this.#broken} can't be read` : "";
        this.words = done === 1 && this.#pictures === 1 ? "Done." : `${done} of ${this.#pictures} pictures, ${rate.toFixed(0)} a second${unread}.`;
        cancelAnimationFrame(this.#frame);
        this.#frame = requestAnimationFrame(() => {
            const all = gallery.pictures.length;
            element("count").textContent = this.#pictures === 1 ? `${all} pictures` : this.words;
            element("progress").value = done / this.#pictures;
        });
    }
}

function clear() {
    visit++;
    shown = undefined;
    gallery.clear();
    element("gallery").hidden = true;
    view.clear();
    say("");
    status.textContent = "Ready.";
    element("choose").focus();
}

async function startCamera() {
    say("");
    try {
        otherCamera.hidden = (await camera.start()) < 2;
    } catch (error) {
        stopCamera();
        complain(error);
        return;
    }
    cameraButton.setAttribute("aria-pressed", "true");
    cameraButton.textContent = "Stop the camera";
    status.textContent = "Point the camera at something.";
    shown = undefined;
    view.showVideo(camera.isFront);
    watchCamera(element("video").srcObject);
}

// Classifies one picture of the camera after the other until it stops, or another one is started.
async function watchCamera(stream) {
    const video = element("video");
    let last = performance.now();
    let interval = 0; // between pictures, in milliseconds, smoothed
    while (video.srcObject === stream) {
        try {
            const predictions = orNone(await classifier.classify(video));
            const now = performance.now();
            interval = interval ? 0.9 * interval + 0.1 * (now - last) : now - last;
            last = now;
            if (video.srcObject === stream) {
                const { network } = predictions.times;
                view.showAnswer(predictions, `network ${network.toFixed(1)}\u00a0ms, ${(1000 / interval).toFixed(0)} pictures a second`);
            }
        } catch (error) {
            if (video.srcObject === stream) {
                stopCamera();
                complain(error);
            }
        }
        await new Promise(requestAnimationFrame);
    }
}

function stopCamera() {
    if (!camera.runs) {
        return;
    }
    camera.stop();
    cameraButton.setAttribute("aria-pressed", "false");
    cameraButton.textContent = "Camera";
    otherCamera.hidden = true;
    status.textContent = "Ready.";
    view.clear();
}

function download(text, type, suffix) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = `${classifier.name}.${suffix}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // the browser may still be reading
}
