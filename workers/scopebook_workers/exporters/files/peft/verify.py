"""Check that PEFT steers as it was measured: python verify.py --model PATH

Needs torch, transformers and peft 0.14 or newer.
"""

from checks import HERE, check_files, judge, read_probe
from on_torch import after_prompt, arguments, dtype_of
from peft import PeftModel
from transformers import AutoModelForCausalLM

USUAL = "use peft 0.14 or newer, since older ones know no lora_bias"


def main():
    given = arguments("PEFT")
    check_files()
    probe = read_probe()
    model = AutoModelForCausalLM.from_pretrained(given.model, dtype=dtype_of(given.dtype, probe))
    model = PeftModel.from_pretrained(model, HERE).to(given.device).eval()
    found = [after_prompt(model, prompt, given.device) for prompt in probe["prompts"]]
    judge(found, probe, given.tolerance, USUAL)


if __name__ == "__main__":
    main()
