"""Development and tests only: embedded servers, a stand-in for OpenAI, and `make run`.

The service and the workers never import this package, and the image does not contain it.
"""
