/** One class and how likely it is. */
export interface Prediction {
    label: string;
    /** From 0 to 1; those of all classes add up to 1. */
    probability: number;
    /** The class's number, from 0. */
    index: number;
}

/** Milliseconds of a picture's way. */
export interface Times {
    decode: number;
    preprocess: number;
    network: number;
}

export type Picture =
    | Blob // a File is one
    | ImageBitmap
    | ImageData
    | VideoFrame
    | HTMLImageElement
    | HTMLCanvasElement
    | OffscreenCanvas
    | HTMLVideoElement;

/** Says what is on a picture. The work is done in web workers; pictures never leave the device. */
export class Classifier {
    /**
     * Loads the engine and a model.
     *
     * @param url of a model file; default: model.bin beside this module.
     * @param options.workers at most so many run at once, each on a picture of its own; default: one for each core. They are started
     *     when there are pictures for them.
     * @throws {Error} the browser has no WebAssembly SIMD, or a file is missing, cut short, damaged or of another version.
     */
    static load(url?: string | URL, options?: { workers?: number }): Promise<Classifier>;

    /** The model's name. */
    readonly name: string;
    /** The text of each class. */
    readonly labels: readonly string[];
    /** Pixels of the network's input. */
    readonly input: Readonly<{ height: number; width: number }>;
    /** How a picture becomes the input, as in the model file. */
    readonly preprocessing: Readonly<Record<string, unknown>>;
    /** Below this `known` of an answer a picture shows none of the classes; 0: the model has no such threshold. */
    readonly unknown: number;
    /** Which engine runs: with relaxed SIMD where the browser has that. */
    readonly engine: "engine.wasm" | "engine-relaxed.wasm";

    /**
     * The most likely classes of a picture, best first, and `known`: how sure the network is, from 0 to 1, that the picture
     * shows one of its classes at all. Pictures may be given without waiting for those before; they are then
     * classified side by side.
     *
     * @param options.topK how many classes; default: 5.
     * @param options.thumbnail also make a JPEG of the picture whose longer side has at most so many pixels, while it is decoded.
     * @throws {Error} the picture can't be read.
     * @throws {TypeError} it is none.
     */
    classify(
        image: Picture,
        options?: { topK?: number; thumbnail?: number },
    ): Promise<Prediction[] & { known: number; times: Times; thumbnail?: Blob }>;

    /** The network alone: a preprocessed picture [3, height, width] -> logits [classes]. */
    logits(input: Float32Array): Promise<Float32Array & { times: { network: number } }>;

    /** Stops the workers. Pictures that are not classified yet are given up with an error. */
    close(): void;
}
