// The camera: its pictures in a video element, from the back camera first where there are several.

export class Camera {
    #video;
    #stream = null;
    #device; // the one that runs

    constructor(video) {
        this.#video = video;
    }

    get runs() {
        return this.#stream !== null;
    }

    // Whether the picture is that of someone who looks at the screen.
    get isFront() {
        return this.#stream?.getVideoTracks()[0].getSettings().facingMode !== "environment";
    }

    // Starts the back camera, or the next one if one runs; returns how many there are.
    async start() {
        if (!navigator.mediaDevices?.getUserMedia) {
            throw new Error("the camera needs a page from https:// or from this machine (localhost)");
        }
        const next = this.runs ? await this.#next() : undefined;
        this.stop();
        const which = next ? { deviceId: { exact: next } } : { facingMode: { ideal: "environment" } };
        try {
            this.#stream = await navigator.mediaDevices.getUserMedia({ video: which });
        } catch (error) {
            throw new Error(whyNoCamera(error));
        }
        this.#device = this.#stream.getVideoTracks()[0].getSettings().deviceId;
        this.#video.srcObject = this.#stream;
        await this.#video.play();
        return (await cameras()).length;
    }

    stop() {
        this.#stream?.getTracks().forEach((track) => track.stop());
        this.#stream = null;
        this.#video.srcObject = null;
    }

    async #next() {
        const ids = (await cameras()).map(({ deviceId }) => deviceId);
        return ids[(ids.indexOf(this.#device) + 1) % ids.length];
    }
}

async function cameras() {
    return (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
}

function whyNoCamera(error) {
    switch (error.name) {
        case "NotAllowedError":
            return "the camera is not allowed; allow it for this page in the browser's settings";
        case "NotFoundError":
            return "there is no camera";
        case "NotReadableError":
            return "the camera can't be opened; another program may use it";
        default:
            return `the camera can't be used: ${error.message}`;
    }
}
