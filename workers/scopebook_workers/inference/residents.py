"""What an inference worker keeps in memory: one model, and the SAEs that were used last."""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from scopebook import meters
from scopebook_workers.memory import free_bytes
from scopebook_workers.qwen.model import load_model
from scopebook_workers.qwen.tokenizer import load_tokenizer, token_pieces
from scopebook_workers.sae.weights import SparseAutoencoder, check_against_model, read_converted

log = logging.getLogger(__name__)

#: Share of the memory that is free beside the model, for SAEs where no setting says how much.
_SHARE: Final = 0.5


@dataclass(frozen=True)
class Resident:
    """A loaded model, and how its tokens are written."""

    path: Path
    model: PreTrainedModel
    tokenizer: Tokenizer
    #: The bytes of each vocabulary entry.
    pieces: list[bytes]
    #: Entries that stand for no text.
    special: frozenset[int]

    @property
    def vocabulary(self) -> int:
        """How many tokens the model knows; a padded vocabulary has more than the tokenizer."""
        size: int = self.model.config.get_text_config().vocab_size
        return size


class Residents:
    """One model at a time with its SAEs; those used least recently go when there is no room."""

    def __init__(self, device: torch.device, *, memory_bytes: int | None = None) -> None:
        """`memory_bytes` is for SAEs; without it they may fill half of what is free."""
        self._device = device
        self._memory_bytes = memory_bytes
        self._resident: Resident | None = None
        self._saes: OrderedDict[str, SparseAutoencoder] = OrderedDict()
        self._room = 0

    @property
    def loaded(self) -> str | None:
        """The folder of the model that is loaded."""
        return None if self._resident is None else str(self._resident.path)

    def model(self, path: str) -> Resident:
        """Return the model of a folder, loaded unless it is; another one goes before it comes."""
        if self._resident is None or str(self._resident.path) != path:
            self._resident = None
            self._saes.clear()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            self._tell()
            self._resident = _load(Path(path), self._device)
            self._room = self._memory_bytes or int(_SHARE * free_bytes(self._device))
            self._tell()
            log.info("Loaded %s; SAEs may take %.1f GB.", path, self._room / 1e9)
        return self._resident

    def saes(self, artifacts: Mapping[int, str]) -> dict[int, SparseAutoencoder]:
        """Return the SAE of each layer for the loaded model.

        All of one request are there at once, even if they take more than their room.
        """
        assert self._resident is not None  # the model of a request is loaded first
        config = self._resident.model.config.get_text_config()
        found = {}
        for layer, artifact in artifacts.items():
            sae = self._saes.get(artifact)
            if sae is None:
                sae = read_converted(Path(artifact), self._device)
                check_against_model(
                    sae, d_model=config.hidden_size, n_layers=config.num_hidden_layers, layer=layer
                )
                self._saes[artifact] = sae
            self._saes.move_to_end(artifact)
            found[layer] = sae
            self._make_room(set(artifacts.values()))
        self._tell()
        return found

    def _tell(self) -> None:
        """Tell with the next heartbeat what is held."""
        meters.set_gauge("inference_models", self._resident is not None)
        meters.set_gauge("inference_saes", len(self._saes))
        meters.set_gauge("inference_sae_bytes", sum(map(size_of, self._saes.values())))

    @property
    def held(self) -> list[str]:
        """The SAEs that are loaded, the one used last at the end."""
        return list(self._saes)

    def _make_room(self, needed: set[str]) -> None:
        taken = sum(size_of(sae) for sae in self._saes.values())
        for artifact in [held for held in self._saes if held not in needed]:
            if taken <= self._room:
                return
            taken -= size_of(self._saes.pop(artifact))


def _load(path: Path, device: torch.device) -> Resident:
    tokenizer = load_tokenizer(path)
    added = tokenizer.get_added_tokens_decoder()
    return Resident(
        path=path,
        model=load_model(path, device),
        tokenizer=tokenizer,
        pieces=token_pieces(tokenizer),
        special=frozenset(number for number, token in added.items() if token.special),
    )


def size_of(sae: SparseAutoencoder) -> int:
    """Return the bytes of an SAE's weights."""
    tensors = (sae.w_enc, sae.b_enc, sae.w_dec, sae.b_dec, sae.thresholds)
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
