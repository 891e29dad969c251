"""Counts tokens as OpenAI's current models do, for holds and estimates. Bills use the provider's own count.

The vocabulary (`service/data/tiktoken`, OpenAI's o200k_base, MIT licence) lies beside the code because tiktoken would
download it otherwise; tiktoken checks its hash when it loads it.
"""

import os
from functools import lru_cache
from importlib import resources

import tiktoken

ENCODING = "o200k_base"


@lru_cache(maxsize=1)
def encoding() -> tiktoken.Encoding:
    """Loaded once per process; takes about half a second."""
    os.environ["TIKTOKEN_CACHE_DIR"] = str(resources.files("service.data").joinpath("tiktoken"))
    return tiktoken.get_encoding(ENCODING)


def count_tokens(text: str) -> int:
    """How many tokens this text is. Special tokens in it count as the plain text they are."""
    return len(encoding().encode_ordinary(text))
