// The service worker: the page works without a network once it was opened. With one, files come from the server, so that a
// new export shows at once.

const CACHE = "shufflenet-@NAME@";
const FILES = ["./", @FILES@];

self.addEventListener("install", (event) => {
    event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
    self.skipWaiting();
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
    if (event.request.method === "GET" && new URL(event.request.url).origin === location.origin) {
        event.respondWith(fresh(event.request));
    }
});

async function fresh(request) {
    const cache = await caches.open(CACHE);
    try {
        const response = await fetch(request);
        if (response.ok && (await cache.match(request))) {
            await cache.put(request, response.clone());
        }
        return response;
    } catch (error) {
        const kept = await cache.match(request, { ignoreSearch: true });
        if (kept) {
            return kept;
        }
        throw error;
    }
}
