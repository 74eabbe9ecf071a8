// Where the parts of this page are: in itself, as base64. Opened from disk a page can't read other files.

export const MODEL = "model.bin";

export async function readEngine(name) {
    return read(name);
}

export async function read(name) {
    const letters = atob(document.getElementById(name).textContent);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) {
        bytes[i] = letters.charCodeAt(i);
    }
    return bytes.buffer;
}

export function nameOf(name) {
    return name;
}

export function startWorker() {
    const script = new Blob([document.getElementById("worker.js").textContent], { type: "text/javascript" });
    const url = URL.createObjectURL(script);
    const worker = new Worker(url);
    URL.revokeObjectURL(url);
    return worker;
}

// The file is here already.
export function prepareOffline() {}
