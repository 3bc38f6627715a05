"""Codes whose factors are known, so that an estimate can be held against the truth."""

from __future__ import annotations

import numpy as np

from codelab.core.codes import Codes


def fair_bits(n: int, bits: int, *, classes: int = 0, seed: int = 0) -> Codes:
    """Independent fair bits, with labels drawn from `classes` classes that say nothing."""
    return biased_bits(n, np.full(bits, 0.5), classes=classes, seed=seed)


def biased_bits(n: int, p: np.ndarray, *, classes: int = 0, seed: int = 0) -> Codes:
    """Independent bits with shares of ones `p`."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n) if classes else None
    return Codes.from_bits(generator.random((n, len(p))) < p, labels)


def near_copies(objects: int, copies: int, p: np.ndarray, *, renewed: float = 0.06, seed: int = 0) -> Codes:
    """Independent bits of each object, `copies` images of it, a share `renewed` of their bits drawn anew.

    The item column `object` says which images show one object.
    """
    generator = np.random.default_rng(seed)
    thing = np.repeat(np.arange(objects), copies)
    bits = (generator.random((objects, len(p))) < p)[thing]
    anew = generator.random(bits.shape) < renewed
    bits = np.where(anew, generator.random(bits.shape) < p, bits)
    return Codes.from_bits(bits, items={"object": [f"object {t}" for t in thing]})


def copied_bits(n: int, independent: int, copies: int, *, seed: int = 0) -> Codes:
    """`independent` fair bits, each written `copies` times, the copies far apart."""
    fair = np.random.default_rng(seed).integers(0, 2, (n, independent))
    return Codes.from_bits(np.tile(fair, (1, copies)))


def complements(n: int, pairs: int, *, seed: int = 0) -> Codes:
    """Fair bits 0 to `pairs` - 1, then their complements."""
    fair = np.random.default_rng(seed).integers(0, 2, (n, pairs))
    return Codes.from_bits(np.concatenate([fair, 1 - fair], axis=1))


def xor_triples(n: int, triples: int, *, seed: int = 0) -> Codes:
    """Triples (a, b, a xor b): every two bits independent, every three worth two bits."""
    fair = np.random.default_rng(seed).integers(0, 2, (n, triples, 2))
    third = fair[..., :1] ^ fair[..., 1:]
    return Codes.from_bits(np.concatenate([fair, third], axis=2).reshape(n, -1))


def prototypes(n: int, *, classes: int = 10, bits: int = 256, flip: float = 0.15, seed: int = 0) -> Codes:
    """One fair code a class, each bit of each item flipped with probability `flip`; classes of equal size."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 2, (classes, bits))
    labels = np.arange(n) % classes
    return Codes.from_bits(codes[labels] ^ (generator.random((n, bits)) < flip), labels)


def planted_factors(
    per_class: int, *, classes: int = 10, dims: int = 32, noise_bits: int = 4, seed: int = 0
) -> tuple[Codes, dict[str, int]]:
    """Codes with features in which each factor moves an image along its own direction, and where each bit is.

    `shared`: a factor present in all classes; `half`: present in the first half of the classes, where the bit reads
    it, a fair coin without effect elsewhere; `single`: present in class 0 alone; `scattered`: present in every
    class, along another direction in each; `noise...`: fair coins without effect.
    """
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    n = len(labels)
    names = ["shared", "half", "single", "scattered", *(f"noise{i}" for i in range(noise_bits))]
    bits = generator.integers(0, 2, (n, len(names)))
    directions, _ = np.linalg.qr(generator.normal(size=(dims, dims)))
    class_means = generator.normal(size=(classes, dims))
    features = class_means[labels] + 0.3 * generator.normal(size=(n, dims))
    features += np.outer(bits[:, 0], directions[0])
    features += np.outer(bits[:, 1] * (labels < classes // 2), directions[1])
    features += np.outer(bits[:, 2] * (labels == 0), directions[2])
    own = directions[3 + np.arange(classes) % (dims - 3)]
    features += bits[:, 3, None] * own[labels]
    codes = Codes.from_bits(bits, labels, features=features)
    return codes, {name: bit for bit, name in enumerate(names)}
