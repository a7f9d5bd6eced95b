"""Check that llama.cpp steers as it was measured.

    python verify.py --server http://127.0.0.1:8080    a llama-server that was started with
                                                       --control-vector-scaled preset.gguf:1
    python verify.py --model MODEL.gguf                llama-cpp-python

llama.cpp goes on unsteered when it cannot load a control vector: check the server that you use.
A quantised model differs from the measured one; give its `--tolerance`, such as 0.5.
"""

import argparse
import json
import urllib.request

from checks import HERE, check_files, fail, judge, log_softmax, read_probe
from control_vector import read_control_vector

#: The server sorts all tokens and tells of the likeliest.
ALTERNATIVES = 200
USUAL = (
    "was the server started in this folder with --control-vector-scaled preset.gguf:1, a build of "
    "llama.cpp that knows this architecture, and no error about the control vector in its log?"
)


def arguments():
    parser = argparse.ArgumentParser(description="Check that llama.cpp steers as it was measured.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--server", help="address of a llama-server")
    which.add_argument("--model", help="a model's GGUF file, for llama-cpp-python")
    parser.add_argument("--tolerance", type=float, help="the largest difference allowed")
    return parser.parse_args()


def by_server(address, prompt):
    """Return the log-probabilities that a server tells of, by token id.

    Texts of tokens do not tell them apart: some end inside a character. Where the likeliest token
    does, its entry is left out.
    """
    asked = {
        "prompt": prompt["token_ids"],
        "n_predict": 1,
        "n_probs": ALTERNATIVES,
        "temperature": 0,
        "cache_prompt": False,
        "post_sampling_probs": False,
        "return_tokens": True,
    }
    request = urllib.request.Request(
        f"{address.rstrip('/')}/completion",
        json.dumps(asked).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        told = json.load(answer).get("completion_probabilities", [])
    found = {}
    for token in told[:1]:
        for one in [*token["top_logprobs"], token]:
            found[one["id"]] = one["logprob"]
    return found


def by_library(path, vectors, prompts):
    """Return the log-probabilities of all tokens, for each prompt, from llama-cpp-python."""
    import ctypes  # noqa: PLC0415

    import llama_cpp  # noqa: PLC0415  # Whoever checks a server needs none of this.

    model = llama_cpp.Llama(
        model_path=path,
        n_ctx=max(len(prompt["token_ids"]) for prompt in prompts) + 8,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        verbose=False,
    )
    width = len(next(iter(vectors.values()))) // 4
    if width != model.n_embd():
        fail(f"The preset is {width} wide, and this model {model.n_embd()}: use its own model.")
    layers = llama_cpp.llama_model_n_layer(model.model)
    rows = b"".join(vectors.get(layer, bytes(4 * width)) for layer in range(1, layers))
    numbers = (ctypes.c_float * (len(rows) // 4)).from_buffer_copy(rows)
    if llama_cpp.llama_set_adapter_cvec(model.ctx, numbers, len(numbers), width, 1, layers):
        fail("llama.cpp does not take the control vector: is its architecture known to this build?")
    found = []
    for prompt in prompts:
        model.reset()
        model.eval(prompt["token_ids"])
        logits = llama_cpp.llama_get_logits_ith(model.ctx, -1)[: model.n_vocab()]
        found.append(dict(enumerate(log_softmax(logits))))
    return found


def main():
    given = arguments()
    check_files()
    probe = read_probe()
    _metadata, vectors = read_control_vector(HERE / "preset.gguf")
    if given.server:
        found = [by_server(given.server, prompt) for prompt in probe["prompts"]]
    else:
        found = by_library(given.model, vectors, probe["prompts"])
    judge(found, probe, given.tolerance, USUAL)


if __name__ == "__main__":
    main()
