"""Check that transformers steers as it was measured: python verify.py --model PATH

Needs torch, transformers and safetensors.
"""

import torch
from checks import HERE, check_files, judge, read_probe
from on_torch import arguments, by_token, dtype_of
from steer_hook import steered
from transformers import AutoModelForCausalLM


@torch.no_grad()
def as_generation_runs(model, prompt, device):
    """Read the prompt, then the rest a token at a time, with a cache."""
    token_ids = torch.tensor([prompt["token_ids"]], device=device)
    end = prompt["prompt_tokens"]
    answer = model(input_ids=token_ids[:, :end], use_cache=True)
    for place in range(end, token_ids.shape[1]):
        answer = model(
            input_ids=token_ids[:, place : place + 1],
            past_key_values=answer.past_key_values,
            use_cache=True,
        )
    return by_token(answer.logits[0, -1])


def main():
    given = arguments("transformers")
    check_files()
    probe = read_probe()
    model = AutoModelForCausalLM.from_pretrained(given.model, dtype=dtype_of(given.dtype, probe))
    model = model.to(given.device).eval()
    found = []
    for prompt in probe["prompts"]:
        with steered(model, HERE, prompt_tokens=prompt["prompt_tokens"]):
            found.append(as_generation_runs(model, prompt, given.device))
    judge(found, probe, given.tolerance, "steer_hook.py changes nothing: unpack the export again")


if __name__ == "__main__":
    main()
