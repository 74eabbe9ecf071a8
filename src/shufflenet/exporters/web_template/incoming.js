// Where pictures come from: the two buttons, what is dropped, and what is pasted.

// As the Python package finds pictures in folders, by the ends of their names; what is named one by one is tried, whatever it is.
const SUFFIXES = /\.(jpe?g|jpe|jfif|png|gif|bmp|webp|tiff?|p[pgbn]m|hei[cf]|avif|jp2|jxl)$/i;

// Calls take with an array of { path, file } for every choice of pictures, and say with a sentence where there are none.
export function watchPictures({ choose, files, chooseFolder, folder, dropOn }, take, say) {
    // In a task of its own: where files are many, the browser's part of the event takes long enough.
    const give = (pictures, what) => setTimeout(() => (pictures.length ? take(pictures) : say(`${what} has no pictures`)));
    choose.addEventListener("click", () => files.click());
    chooseFolder.addEventListener("click", () => folder.click());
    chooseFolder.hidden = !("webkitdirectory" in folder); // as on most phones
    for (const input of [files, folder]) {
        input.addEventListener("change", () => {
            const chosen = Array.from(input.files, (file) => ({ path: file.webkitRelativePath || file.name, file }));
            give(input === folder ? inOrder(chosen.filter(isPicture)) : chosen, "the folder");
            input.value = ""; // so that the same choice is a change again
        });
    }
    addEventListener("paste", (event) => {
        const pasted = Array.from(event.clipboardData.files, (file) => ({ path: file.name || "pasted picture", file }));
        give(pasted, "the clipboard");
    });
    watchDrops(dropOn, (pictures) => give(pictures, "what was dropped"));
}

function watchDrops(target, give) {
    let inside = 0; // how many of the page's elements the pointer has entered and not left
    const mark = () => target.classList.toggle("dropping", inside > 0);
    target.addEventListener("dragenter", () => (inside++, mark()));
    target.addEventListener("dragleave", () => (inside--, mark()));
    target.addEventListener("dragover", (event) => event.preventDefault());
    target.addEventListener("drop", async (event) => {
        event.preventDefault();
        inside = 0;
        mark();
        // Entries and files are there until the first await only.
        const dropped = Array.from(event.dataTransfer.items).filter((item) => item.kind === "file");
        const entries = dropped.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
        give((await Promise.all(entries.map(picturesOf))).flat());
    });
}

// A dropped file, or all pictures in a dropped folder.
async function picturesOf(entry) {
    if (entry instanceof File) {
        return [{ path: entry.name, file: entry }];
    }
    const found = await within(entry);
    return entry.isDirectory ? inOrder(found.filter(isPicture)) : found;
}

async function within(entry) {
    if (entry.isFile) {
        const file = await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null);
        return file ? [{ path: entry.fullPath.replace(/^\//, ""), file }] : [];
    }
    const reader = entry.createReader();
    const found = [];
    for (;;) {
        // A hundred at a time, until there are none.
        const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
        if (!some.length) {
            return found;
        }
        found.push(...(await Promise.all(some.map(within))).flat());
    }
}

function isPicture({ path }) {
    return SUFFIXES.test(path) && !path.split("/").pop().startsWith(".");
}

function inOrder(pictures) {
    return pictures.sort((a, b) => (a.path < b.path ? -1 : 1));
}
