// The large picture and the classes that it is most likely of.

export class View {
    #elements;
    #file; // that of the picture

    constructor(elements) {
        this.#elements = elements; // picture, video, hint, source, classes, nothing, times
    }

    // Shows a picture of the gallery with what is known of it.
    show({ path, file, predictions, times }) {
        const { picture, video, hint, source } = this.#elements;
        video.hidden = true;
        hint.hidden = true;
        picture.hidden = false;
        if (this.#file !== file) {
            this.#forget();
            this.#file = file;
            picture.src = URL.createObjectURL(file);
        }
        picture.alt = path;
        source.textContent = path;
        this.showClasses(predictions ?? []);
        this.#elements.times.textContent = times ? describedTimes(times) : "";
    }

    // Shows the camera's pictures, front ones as in a mirror.
    showVideo(mirrored) {
        const { picture, video, hint, source } = this.#elements;
        video.classList.toggle("mirrored", mirrored);
        picture.hidden = true;
        hint.hidden = true;
        video.hidden = false;
        source.textContent = "";
    }

    showAnswer(predictions, words) {
        this.showClasses(predictions);
        this.#elements.times.textContent = words;
    }

    // Nothing chosen.
    clear() {
        const { picture, video, hint, source, times } = this.#elements;
        picture.hidden = video.hidden = true;
        this.#forget();
        hint.hidden = false;
        source.textContent = times.textContent = "";
        this.showClasses([]);
    }

    #forget() {
        const { picture } = this.#elements;
        URL.revokeObjectURL(picture.src);
        picture.removeAttribute("src");
        this.#file = undefined;
    }

    showClasses(predictions) {
        const { classes, nothing } = this.#elements;
        while (classes.children.length < predictions.length) {
            classes.append(emptyRow());
        }
        classes.hidden = !predictions.length;
        nothing.hidden = !classes.hidden;
        [...classes.children].forEach((row, i) => {
            row.hidden = i >= predictions.length;
            if (!row.hidden) {
                const { label, probability } = predictions[i];
                const [name, percent, track] = row.children;
                name.textContent = label;
                name.title = label;
                percent.textContent = percentage(probability);
                track.style.setProperty("--share", `${100 * probability}%`);
            }
        });
    }
}

export function percentage(probability) {
    return `${(100 * probability).toFixed(1)}\u00a0%`; // not divided between lines
}

export function describedTimes({ decode, preprocess, network }) {
    const parts = { decode, preprocess, network };
    return Object.entries(parts).map(([name, ms]) => `${name} ${ms.toFixed(1)}\u00a0ms`).join(", ");
}

function emptyRow() {
    const row = document.createElement("li");
    for (const name of ["label", "percent", "track"]) {
        const part = document.createElement("span");
        part.className = name;
        row.append(part);
    }
    row.lastChild.append(document.createElement("span"));
    row.lastChild.setAttribute("aria-hidden", "true");
    return row;
}
