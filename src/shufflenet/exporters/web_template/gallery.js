// All pictures of this visit: a tile for each, with its class or why it has none, and the whole as CSV and JSON.

import { percentage } from "./view.js";

const TILES_AT_ONCE = 10; // between two frames, so that a large folder does not freeze the page

export class Gallery {
    #list;
    #open; // called with the picture whose tile is pressed
    #marked;
    pictures = [];

    constructor(list, open) {
        this.#list = list;
        this.#open = open;
    }

    // Adds pictures, { path, file } each; their tiles come one after the other.
    add(pictures) {
        this.pictures.push(...pictures);
        this.#addTiles(pictures, this.pictures);
    }

    // Shows on its tile, if that is there, what is known of a picture by now.
    refresh(picture) {
        const { tile, predictions, thumbnail, error } = picture;
        if (!tile) {
            return;
        }
        const [thumb, words] = tile.firstChild.children;
        tile.classList.toggle("broken", error !== undefined);
        if (error !== undefined) {
            words.firstChild.textContent = error;
        } else if (predictions) {
            words.firstChild.textContent = `${predictions[0].label}, ${percentage(predictions[0].probability)}`;
            picture.thumbnailUrl ??= URL.createObjectURL(thumbnail);
            thumb.src = picture.thumbnailUrl;
        }
        if (picture === this.#marked) {
            tile.firstChild.setAttribute("aria-current", "true");
        } else {
            tile.firstChild.removeAttribute("aria-current");
        }
    }

    // Marks the picture that is in the view.
    mark(picture) {
        const before = this.#marked;
        this.#marked = picture;
        [before, picture].filter(Boolean).forEach((changed) => this.refresh(changed));
    }

    clear() {
        this.pictures.forEach(({ thumbnailUrl }) => thumbnailUrl && URL.revokeObjectURL(thumbnailUrl));
        this.pictures = [];
        this.#marked = undefined;
        this.#list.replaceChildren();
    }

    async #addTiles(added, all) {
        for (let i = 0; i < added.length && this.pictures === all; i += TILES_AT_ONCE) {
            const some = added.slice(i, i + TILES_AT_ONCE);
            this.#list.append(...some.map((picture) => (picture.tile = emptyTile(picture, this.#open))));
            some.forEach((picture) => this.refresh(picture));
            await new Promise(requestAnimationFrame);
        }
    }
}

function emptyTile(picture, open) {
    const [tile, button, thumb, words, what, name] = ["li", "button", "img", "span", "span", "span"].map((kind) =>
        document.createElement(kind),
    );
    button.type = "button";
    button.addEventListener("click", () => open(picture));
    Object.assign(thumb, { className: "thumb", alt: "", loading: "lazy", decoding: "async" });
    words.className = "words";
    Object.assign(what, { className: "what", textContent: "…" });
    Object.assign(name, { className: "name", textContent: picture.path });
    words.append(what, name);
    button.append(thumb, words);
    tile.append(button);
    return tile;
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
                  known: predictions.known,
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
