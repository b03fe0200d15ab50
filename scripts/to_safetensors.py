"""Turns the pickled weights of an older model folder into safetensors, which is all that clinstack loads.

    python scripts/to_safetensors.py FOLDER OUT

FOLDER holds config.json, pytorch_model.bin and a tokenizer, as BlueBERT, Bio+ClinicalBERT, CORe and UmlsBERT were published. A
pickle can run code when it is read; torch's restricted reader, which is used here, makes tensors alone and refuses the rest.
Weights that the model's class does not have are named and left out: of UmlsBERT the embedding of semantic types, which its
authors' own code adds to the words' (without it the model reads words alone).
"""

import argparse
import shutil
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    weights = torch.load(arguments.folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(arguments.folder))
    renamed = {name.replace(".gamma", ".weight").replace(".beta", ".bias"): tensor for name, tensor in weights.items()}
    missing, unexpected = model.load_state_dict(renamed, strict=False)
    model.tie_weights()
    model.save_pretrained(arguments.out)
    AutoTokenizer.from_pretrained(arguments.folder).save_pretrained(arguments.out)
    for file in arguments.folder.glob("*.md"):
        shutil.copyfile(file, arguments.out / file.name)
    print(f"{arguments.out}: {len(weights) - len(unexpected)} tensors")
    for what, names in (("not in the file, so as they were made", missing), ("left out", unexpected)):
        for name in names:
            print(f"  {what}: {name}")


if __name__ == "__main__":
    main()
