"""The threads of a process that classify, and the requests that wait for them: a bounded number."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from shufflenet.classifier import Classifier, Prediction
from shufflenet.pictures.images import ImageError
from shufflenet.serve.bodies import Named
from shufflenet.serve.refusal import Refusal


class Crew:
    """Classifies for requests, one thread each, in the order in which they come.

    Args:
        threads: how many requests are worked on at once.
        waiting: how many more may wait.
    """

    def __init__(self, classifier: Classifier, threads: int, waiting: int, max_pixels: int) -> None:
        self._classifier = classifier
        self._max_pixels = max_pixels
        self._places = threads + waiting
        self._pool = ThreadPoolExecutor(threads)
        self.begun = 0

    def check_room(self) -> None:
        """Raises Refusal, 429: as many requests wait as may."""
        if self.begun >= self._places:
            raise Refusal(429, f"{self.begun} requests wait already; try again later")

    async def classify(self, pictures: Sequence[Named], top_k: int) -> list[Prediction | ImageError]:
        """The labels of each picture, or why it has none.

        Raises:
            Refusal: 429.
        """
        self.check_room()
        self.begun += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._work, pictures, top_k)
        finally:
            self.begun -= 1

    def _work(self, pictures: Sequence[Named], top_k: int) -> list[Prediction | ImageError]:
        return [self._one(picture, top_k) for picture in pictures]

    def _one(self, picture: Named, top_k: int) -> Prediction | ImageError:
        try:
            prediction = self._classifier.predict(picture.content, top_k, max_pixels=self._max_pixels)
        except ImageError as error:
            return error
        return replace(prediction, source=picture.name) if picture.name else prediction
