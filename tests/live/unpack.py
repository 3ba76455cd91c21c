"""Writes the weights of a GGUF file as `transformers` has them: run in an environment that has it.

python unpack.py FILE.gguf FOLDER
"""

import sys
from pathlib import Path


def main(file: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # type: ignore[import-not-found]

    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype="float32")
    # They are plain numbers by now.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.config.architectures = [type(model).__name__]
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
    model.save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
