"""Read the cfg.json of an SAE in SAELens's format, and refuse what this project cannot run.

SAELens wrote flat files up to version 5 and keeps what is about the model under `metadata` since
version 6; both say the same things.
"""

import json
import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, NoReturn

from scopebook.errors import CheckpointError
from scopebook.release_names import shown

CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"
#: A real one has a few kilobytes.
LONGEST_CONFIG_BYTES = 1_000_000

#: Which features of a token are active: the k strongest, those above their threshold, or those
#: above zero.
SaeKind = Literal["topk", "threshold", "relu"]

_KINDS: dict[str, SaeKind] = {
    "standard": "relu",
    "topk": "topk",
    "jumprelu": "threshold",
    # Both rank a whole batch while they train, and keep a threshold for use.
    "batchtopk": "threshold",
    "matryoshka_batchtopk": "threshold",
}
_OLD_KEYS = {
    "hook_point": "hook_name",
    "hook_point_layer": "hook_layer",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
_HOOK = re.compile(
    r"blocks\.(?P<after>[0-9]{1,4})\.hook_resid_post"
    r"|blocks\.(?P<before>[0-9]{1,4})\.hook_resid_pre"
    r"|model\.layers\.(?P<output>[0-9]{1,4})(?:\.output)?"
)
_DTYPES = ("float32", "bfloat16", "float16", "float64")
_WIDEST_MODEL = 2**17
#: As many as a feature's row id can hold.
_WIDEST_SAE = 2**20


@dataclass(frozen=True, kw_only=True)
class SaeLensConfig:
    """What a cfg.json says of one SAE, and how to bring it to `x @ W_enc + b_enc`."""

    #: The decoder layer whose output the SAE reads.
    layer: int
    d_in: int
    d_sae: int
    architecture: str
    kind: SaeKind
    k: int | None
    model_name: str | None
    #: The encoder reads x - b_dec.
    subtracts_b_dec: bool
    #: Pre-activations are multiplied by the norm of the feature's row of W_dec.
    scales_by_decoder_norm: bool
    #: The SAE reads x times this, and its output is divided by it.
    input_scale: float

    @property
    def recipe(self) -> str:
        """Everything that changes a number, as text; two files with the same one are one SAE."""
        parts = asdict(self)
        del parts["model_name"]
        return json.dumps(parts, sort_keys=True)


def read_config(content: bytes, where: str) -> SaeLensConfig:
    """Read a cfg.json; `where` names it in an error.

    Raises CheckpointError for what is no such file, or an SAE that cannot be brought to one
    matrix product with a threshold or a top-k after it.
    """
    fields = _Fields(where, _flat(content, where))
    _refuse_what_is_not_folded(fields)
    kind, k = _rule(fields)
    scales = fields.flag("rescale_acts_by_decoder_norm", default=False)
    architecture = fields.text("architecture") or "standard"
    if scales and architecture in ("standard", "jumprelu"):
        fields.refuse(
            f"rescale_acts_by_decoder_norm is true, which the architecture {architecture} has not",
            "write the cfg.json anew with SAELens",
        )
    d_sae = fields.whole("d_sae", _WIDEST_SAE)
    if k is not None and k > d_sae:
        fields.refuse(f"k is {k} of {d_sae} features", f"give 1 to {d_sae}")
    return SaeLensConfig(
        layer=_layer(fields),
        d_in=fields.whole("d_in", _WIDEST_MODEL),
        d_sae=d_sae,
        architecture=architecture,
        kind=kind,
        k=k,
        model_name=fields.text("model_name"),
        subtracts_b_dec=fields.flag("apply_b_dec_to_input", default=True),
        scales_by_decoder_norm=scales,
        input_scale=_input_scale(fields),
    )


@dataclass(frozen=True)
class _Fields:
    """The entries of one cfg.json, read with a sentence for each that is wrong."""

    where: str
    entries: dict[str, Any]

    def refuse(self, found: str, expected: str) -> NoReturn:
        """Raise for this file."""
        raise CheckpointError(f"{self.where}: {found}; {expected}.")

    def get(self, key: str) -> Any:
        """Return an entry, or None where it is not given."""
        return self.entries.get(key)

    def text(self, key: str) -> str | None:
        """Return an entry that is text."""
        value = self.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            self.refuse(f"{key} is {shown(repr(value))}", "it must be text")
        return value.strip() if isinstance(value, str) else None

    def flag(self, key: str, *, default: bool) -> bool:
        """Return an entry that is true or false."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(f"{key} is {shown(repr(value))}", "it must be true or false")
        return value

    def whole(self, key: str, most: int) -> int:
        """Return an entry that is a whole number from 1 on."""
        value = self.get(key)
        whole = _whole(value)
        if whole is None or not 1 <= whole <= most:
            found = "missing" if value is None else shown(repr(value))
            self.refuse(f"{key} is {found}", f"it must be a whole number from 1 to {most}")
        return whole


def _whole(value: object) -> int | None:
    """Return a JSON number that is whole; SAELens writes some of them as 50.0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else None
    return value


def _flat(content: bytes, where: str) -> dict[str, Any]:
    """Return the entries of either layout under their present names."""
    try:
        if len(content) > LONGEST_CONFIG_BYTES:
            raise ValueError("too long")
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{where} is not readable as JSON: fetch it again, or save the SAE anew with SAELens."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{where} holds a {type(config).__name__}: expected an object as SAELens writes it."
        )
    metadata = config.pop("metadata", None)
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{where}: metadata is no object: save the SAE anew with SAELens.")
    return {_OLD_KEYS.get(key, key): value for key, value in {**metadata, **config}.items()}


def _refuse_what_is_not_folded(fields: _Fields) -> None:
    residual_only = "only SAEs of the residual stream after a layer can be added"
    if fields.get("hook_head_index") is not None:
        fields.refuse("hook_head_index is set: the SAE reads one attention head", residual_only)
    if fields.get("hook_name_out") is not None or fields.get("d_out") is not None:
        fields.refuse("it writes to another place than it reads, as a transcoder", residual_only)
    if fields.get("reshape_activations") not in (None, "none"):
        fields.refuse("reshape_activations is set: the SAE reads attention heads", residual_only)
    if fields.flag("finetuning_scaling_factor", default=False):
        fields.refuse(
            "finetuning_scaling_factor is true", "multiply it into W_dec and save the SAE again"
        )
    dtype = fields.text("dtype")
    if dtype is not None and dtype.removeprefix("torch.") not in _DTYPES:
        fields.refuse(f"dtype is {shown(dtype)}", f"it must be one of {', '.join(_DTYPES)}")


def _rule(fields: _Fields) -> tuple[SaeKind, int | None]:
    architecture = fields.text("architecture") or "standard"
    kind = _KINDS.get(architecture)
    if kind is None:
        fields.refuse(
            f"the architecture {shown(architecture)} is not read",
            f"give an SAE of the architecture {', '.join(_KINDS)}",
        )
    # Before version 6 a top-k SAE was a standard one with another activation function.
    activation = fields.text("activation_fn") or "relu"
    extra = fields.get("activation_fn_kwargs") or {}
    if activation not in ("relu", "topk") or not isinstance(extra, dict) or set(extra) - {"k"}:
        fields.refuse(
            f"the activation function {shown(activation)} with {shown(repr(extra))} is not read",
            "give an SAE with relu, or with topk and its k",
        )
    if activation == "topk" and kind == "relu":
        kind = "topk"
    if kind != "topk":
        return kind, None
    if fields.get("k") is None and "k" in extra:
        return "topk", _Fields(fields.where, extra).whole("k", _WIDEST_SAE)
    return "topk", fields.whole("k", _WIDEST_SAE)


def _layer(fields: _Fields) -> int:
    hook = fields.text("hook_name") or fields.text("hf_hook_name")
    if hook is None:
        fields.refuse("hook_name is missing", "it must be such as blocks.12.hook_resid_post")
    match = _HOOK.fullmatch(hook)
    named = int(match[match.lastgroup or 0]) if match else -1
    before = match is not None and match["before"] is not None
    if named < before:  # before layer 0 are the embeddings, which no layer wrote
        fields.refuse(
            f"hook_name is {shown(hook)}",
            "only SAEs of the residual stream after a layer can be added, such as "
            "blocks.12.hook_resid_post or model.layers.12",
        )
    stated = fields.get("hook_layer")
    if stated is not None and _whole(stated) != named:
        fields.refuse(
            f"hook_layer is {shown(repr(stated))} but hook_name is {shown(hook)}",
            "correct the one that is wrong",
        )
    return named - before


def _input_scale(fields: _Fields) -> float:
    wanted = fields.get("normalize_activations")
    # Before version 3 it was a flag.
    if wanted in (None, False, "none"):
        return 1.0
    if wanted not in (True, "expected_average_only_in"):
        fields.refuse(
            f"normalize_activations is {shown(repr(wanted))}, which depends on each token and "
            "cannot be folded into the weights",
            "give an SAE that was trained without it",
        )
    factor = fields.get("norm_scaling_factor")
    if (
        not isinstance(factor, int | float)
        or isinstance(factor, bool)
        or not math.isfinite(factor)
        or not 1e-6 <= factor <= 1e6
    ):
        fields.refuse(
            "normalize_activations is expected_average_only_in, but norm_scaling_factor does not "
            "say by how much",
            "fold the factor into the weights with SAELens, or write it there",
        )
    return float(factor)
