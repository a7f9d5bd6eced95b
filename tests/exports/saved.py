"""A tiny model as a folder that tools load, with a tokenizer of transformers."""

from pathlib import Path

from tests.tiny_models import save_tiny_model, tiny_tokenizer
from transformers import PreTrainedTokenizerFast


def save_with_tokenizer(folder: Path, family: str = "qwen3") -> Path:
    """Write the model, its tokenizer and what transformers must know of that."""
    save_tiny_model(folder, family)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tiny_tokenizer(), eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    tokenizer.save_pretrained(folder)
    return folder
