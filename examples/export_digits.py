"""Writes scikit-learn's handwritten digits to a file for the Rust example: `python examples/export_digits.py target/digits.safetensors`.

Tensors: `images` f32 [1797, 64], scaled to [0, 1], and `labels` i64 [1797].
"""

import sys

import numpy as np
import wootz as wz
from sklearn.datasets import load_digits


def main(path: str) -> None:
    """Writes the file."""
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    wz.save(path, {"images": images, "labels": labels})
    print(f"{len(images)} digits in {path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "digits.safetensors")
