// Where the parts of this package are: beside this file. A page in a single file has them in itself.

export const MODEL = new URL("model.bin", import.meta.url);

// The bytes of the engine of this name.
export function readEngine(name) {
    return read(new URL(name, import.meta.url));
}

// The bytes of a file.
export async function read(url) {
    const name = nameOf(url);
    let response;
    try {
        response = await fetch(url);
    } catch (error) {
        throw new Error(`${name}: can't be loaded from ${url}: ${error.message}; is the server there?`);
    }
    if (!response.ok) {
        throw new Error(`${name}: can't be loaded from ${url}: the server says ${response.status}`);
    }
    return response.arrayBuffer();
}

// A file's name, for messages.
export function nameOf(url) {
    return decodeURIComponent(new URL(url, import.meta.url).pathname.split("/").pop());
}

export function startWorker() {
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
}

// Keeps all parts in the browser, so that the page works without a network once it was opened; elsewhere than on https:// and
// localhost browsers don't offer that.
export function prepareOffline() {
    navigator.serviceWorker?.register(new URL("sw.js", import.meta.url)).catch(() => {});
}
