"""Check that lm-evaluation-harness steers as it was measured: python verify.py --model PATH

Needs lm-eval 0.4.9 or newer, with transformers.
"""

import torch
from checks import HERE, check_files, judge, read_probe
from lm_eval.models.hf_steered import SteeredModel
from on_torch import arguments, by_token


@torch.no_grad()
def after_prompt(model, prompt):
    """Return the log-probabilities after a prompt, as a task would ask for them."""
    token_ids = torch.tensor([prompt["token_ids"]], device=model.device)
    return by_token(model._model_call(token_ids)[0, -1])


def main():
    given = arguments("lm-evaluation-harness")
    check_files()
    probe = read_probe()
    model = SteeredModel(
        pretrained=given.model,
        steer_path=str(HERE / "steering.pt"),
        device=given.device,
        dtype=given.dtype or probe["dtype"],
    )
    found = [after_prompt(model, prompt) for prompt in probe["prompts"]]
    judge(found, probe, given.tolerance, "run the model `steered`, with steer_path=steering.pt")


if __name__ == "__main__":
    main()
