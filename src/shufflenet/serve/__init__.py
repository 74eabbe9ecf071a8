"""`shufflenet serve`: a model behind an address, by Starlette and uvicorn."""
