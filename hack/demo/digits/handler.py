"""Trains a small neural network on the UCI handwritten digits and says how well it reads digits it has not seen.

The module is loaded once per worker, so the data is read once; handler is called once per input.
"""

import os

import numpy as np

# 1,797 images of 8 by 8 pixels, and the digit that each shows.
DATA = np.loadtxt("/usr/share/datasets/digits.csv.gz", delimiter=",")
IMAGES, DIGITS = DATA[:, :-1] / 16.0, DATA[:, -1].astype(int)


def handler(event):
    rate, seed = event
    random = np.random.default_rng(seed)
    order = random.permutation(len(DIGITS))
    train, test = order[:1437], order[1437:]
    accuracy = fit(IMAGES[train], DIGITS[train], IMAGES[test], DIGITS[test], rate, random)
    print("learning rate %g, seed %d: %.1f %% of the test digits read right" % (rate, seed, 100 * accuracy))
    return {"accuracy": round(accuracy, 4), "gpu": os.environ.get("NVIDIA_VISIBLE_DEVICES", "none")}


def fit(images, digits, test_images, test_digits, rate, random, hidden=32, epochs=60, batch=32):
    """Stochastic gradient descent on one hidden layer; returns the share of test digits that are read right."""
    w1 = random.normal(0, 0.25, (64, hidden))
    w2 = random.normal(0, 0.25, (hidden, 10))
    wanted = np.eye(10)[digits]
    for _ in range(epochs):
        order = random.permutation(len(digits))
        for start in range(0, len(order), batch):
            rows = order[start:start + batch]
            x, y = images[rows], wanted[rows]
            h = np.tanh(x @ w1)
            error = (softmax(h @ w2) - y) / len(rows)
            gradient1 = x.T @ (error @ w2.T * (1 - h * h))
            w2 -= rate * h.T @ error
            w1 -= rate * gradient1
    guesses = (np.tanh(test_images @ w1) @ w2).argmax(axis=1)
    return float((guesses == test_digits).mean())


def softmax(scores):
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)
