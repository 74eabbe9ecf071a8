"""Labels of millions of pictures, on the cores of one machine or on a cluster that is there already.

`Classify` is what Ray Data, Spark and Dask call for each batch. `run.predict_to` is `shufflenet predict --to`.
"""

from __future__ import annotations

from shufflenet.batch.classify import Classify

__all__ = ["Classify"]
