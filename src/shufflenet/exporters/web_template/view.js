// The large picture and the classes that it is most likely of.

export class View {
    #elements;

    constructor(elements) {
        this.#elements = elements; // picture, video, hint, source, classes, times
    }

    // Shows a picture of the gallery with what is known of it.
    show({ path, url, predictions, times }) {
        const { picture, video, hint, source } = this.#elements;
        video.hidden = true;
        hint.hidden = true;
        picture.hidden = false;
        picture.src = url;
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
        picture.removeAttribute("src");
        hint.hidden = false;
        source.textContent = times.textContent = "";
        this.showClasses([]);
    }

    showClasses(predictions) {
        const { classes } = this.#elements;
        while (classes.children.length < predictions.length) {
            classes.append(emptyRow());
        }
        classes.hidden = !predictions.length;
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
    return `${(100 * probability).toFixed(1)} %`;
}

export function describedTimes({ decode, preprocess, network }) {
    return `decode ${decode.toFixed(1)} ms, preprocess ${preprocess.toFixed(1)} ms, network ${network.toFixed(1)} ms`;
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
