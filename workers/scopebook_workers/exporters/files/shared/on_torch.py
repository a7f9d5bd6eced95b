"""Log-probabilities of a model of torch for the prompts of a probe."""

import argparse

import torch


def arguments(tool):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=f"Check that {tool} steers as it was measured.")
    parser.add_argument("--model", required=True, help="folder or name of the model")
    parser.add_argument("--device", default="cpu", help="where it runs: cpu, cuda, ...")
    parser.add_argument("--dtype", help="its precision; that of the measurement, if not given")
    parser.add_argument("--tolerance", type=float, help="the largest difference allowed")
    return parser.parse_args()


def dtype_of(given, probe):
    """Return the precision to load the model in."""
    return getattr(torch, given or probe["dtype"])


def by_token(logits):
    """Return log-probabilities by token id, of one position's logits."""
    return dict(enumerate(logits.float().cpu().double().log_softmax(-1).tolist()))


@torch.no_grad()
def after_prompt(model, prompt, device="cpu"):
    """Return the log-probabilities after a prompt, read at once."""
    token_ids = torch.tensor([prompt["token_ids"]], device=device)
    return by_token(model(input_ids=token_ids).logits[0, -1])
