// All pictures of this visit: a tile for each, with its class or why it has none, and the whole as CSV and JSON.

import { percentage } from "./view.js";

const TILES_AT_ONCE = 40; // between two frames, so that a large folder does not freeze the page

export class Gallery {
    #list;
    #open; // called with the picture whose tile is pressed
    pictures = [];

    constructor(list, open) {
        this.#list = list;
        this.#open = open;
    }

    // Adds tiles for { path, file }; returns the pictures, each with an url and a tile.
    async add(pictures) {
        const added = pictures.map(({ path, file }) => ({ path, file, url: URL.createObjectURL(file) }));
        this.pictures.push(...added);
        for (let i = 0; i < added.length; i += TILES_AT_ONCE) {
            const some = added.slice(i, i + TILES_AT_ONCE);
            this.#list.append(...some.map((picture) => this.#tile(picture)));
            await new Promise(requestAnimationFrame);
        }
        return added;
    }

    // Shows on its tile what is known of a picture by now.
    refresh({ tile, predictions, error }) {
        const what = tile.querySelector(".what");
        tile.classList.toggle("broken", error !== undefined);
        if (error !== undefined) {
            tile.querySelector(".thumb").removeAttribute("src");
            what.textContent = error;
        } else {
            what.textContent = `${predictions[0].label}, ${percentage(predictions[0].probability)}`;
        }
    }

    mark(picture) {
        this.#list.querySelector("[aria-current]")?.removeAttribute("aria-current");
        picture.tile.firstChild.setAttribute("aria-current", "true");
    }

    clear() {
        this.pictures.forEach(({ url }) => URL.revokeObjectURL(url));
        this.pictures = [];
        this.#list.replaceChildren();
    }

    #tile(picture) {
        const tile = document.createElement("li");
        const button = document.createElement("button");
        button.type = "button";
        const thumb = Object.assign(new Image(), { className: "thumb", alt: "", loading: "lazy", decoding: "async" });
        thumb.src = picture.url;
        const words = document.createElement("span");
        words.className = "words";
        for (const [name, text] of [["what", "…"], ["name", picture.path]]) {
            words.append(Object.assign(document.createElement("span"), { className: name, textContent: text }));
        }
        button.append(thumb, words);
        button.addEventListener("click", () => this.#open(picture));
        tile.append(button);
        picture.tile = tile;
        return tile;
    }
}

// The rows of `shufflenet predict --json`, and { source, error } for what could not be read.
export function asJson(pictures) {
    const rows = pictures.map(({ path, predictions, times, error }) =>
        predictions
            ? {
                  source: path,
                  predictions: predictions.map(({ index, label, probability }) => ({ class_index: index, label, probability })),
                  decode_ms: times.decode,
                  preprocess_ms: times.preprocess,
                  network_ms: times.network,
              }
            : { source: path, error: error ?? "not classified" },
    );
    return JSON.stringify(rows, null, 1) + "\n";
}

// The columns of `shufflenet predict --csv`, and one for errors.
export function asCsv(pictures) {
    const names = "source rank class_index label probability decode_ms preprocess_ms network_ms error";
    const lines = [names.split(" ")];
    for (const { path, predictions, times, error } of pictures) {
        if (!predictions) {
            lines.push([path, "", "", "", "", "", "", "", error ?? "not classified"]);
            continue;
        }
        const ms = [times.decode, times.preprocess, times.network].map((time) => time.toFixed(3));
        predictions.forEach(({ index, label, probability }, i) =>
            lines.push([path, i + 1, index, label, probability.toFixed(6), ...ms, ""]),
        );
    }
    return lines.map((line) => line.map(quoted).join(",") + "\n").join("");
}

function quoted(value) {
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
