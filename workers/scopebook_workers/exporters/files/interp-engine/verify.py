"""Check that interp-engine steers as it was measured: python verify.py --model PATH

Needs torch, transformers and interp-engine. Runs its backend `eager`.
"""

import json

from checks import HERE, check_files, judge, read_probe
from interp_engine import load_model, steer
from interp_engine.server.schemas import SteeringWire
from on_torch import after_prompt, arguments


def main():
    given = arguments("interp-engine")
    check_files()
    probe = read_probe()
    model = load_model(
        given.model, backend="eager", device=given.device, dtype=given.dtype or probe["dtype"]
    )
    sent = json.loads((HERE / "steering.json").read_text(encoding="utf-8"))
    specs = [SteeringWire.model_validate(one).to_spec(model.d_model) for one in sent]
    with steer(model, specs):
        found = [after_prompt(model.hf_model, prompt, given.device) for prompt in probe["prompts"]]
    judge(found, probe, given.tolerance, "steering.json names no layer of this model")


if __name__ == "__main__":
    main()
