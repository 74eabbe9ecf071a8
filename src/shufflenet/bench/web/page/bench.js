// The page that shufflenet bench --browser drives: starts a worker for each configuration of a runtime, and lets them take turns.

const workers = new Map();

// Asks a worker for one of its calls, and waits for the answer; id: the configuration's.
function ask(id, call, ...given) {
    const worker = workers.get(id);
    return new Promise((resolve, reject) => {
        worker.onmessage = ({ data: { result, error } }) => (error === undefined ? resolve(result) : reject(new Error(error)));
        worker.onerror = (event) => reject(new Error(event.message || "its worker can't be started"));
        worker.postMessage({ call, given });
    });
}

window.bench = {
    ask,

    // order: what prepare of worker.js takes.
    async prepare(id, order) {
        workers.set(id, new Worker("worker.js"));
        return ask(id, "prepare", order);
    },

    // A turn of each; their times in milliseconds.
    async round(ids, seconds) {
        const times = [];
        for (const id of ids) {
            times.push(await ask(id, "turn", seconds));
        }
        return times;
    },

    close(ids) {
        for (const id of ids) {
            workers.get(id)?.terminate();
            workers.delete(id);
        }
    },
};
