"""By study, each verdict that it can give and synthetic evidence for it."""

from __future__ import annotations

from harness.studies.spec import DEPENDS, NOT_MEASURED, REFUTED, SUPPORTED, UNCLEAR
from tests.harness.make_evidence import (
    NEVER,
    E,
    about,
    backward,
    bent_noise,
    flat_noise,
    from_trials,
    fused,
    moved,
    noise,
    share,
    target,
    timed,
    trials,
)

RAW, STANDARD, SHIFTED = (f"deep_mlp/4x64-{x}" for x in ("raw", "standardised", "shifted"))
MSE, HUBER = "mlp_regression/mse_outliers", "mlp_regression/huber_outliers"
GD, NEWTON = ({"optimizer": name} for name in ("gradient_descent", "newton"))
SGD = {"workload": "mlp_classification", "optimizer": "sgd"}
LINEAR = "linear_regression"
THREE = (NEVER, NEVER, NEVER)
MADE = {"generated": "man is to woman as king is to  queen queen right"}


def both_ways(worse, better):
    """A setting that is ahead, is behind, or cannot be told; with five seeds and with three."""
    return [
        (SUPPORTED, from_trials(trials(worse, about(100)), trials(better, about(50)))),
        (SUPPORTED, from_trials(target(worse, *THREE), target(better, 40, 41, 42))),
        (REFUTED, from_trials(trials(worse, about(50)), trials(better, about(100)))),
        (REFUTED, from_trials(target(worse, 40, 41, 42), target(better, *THREE))),
        (UNCLEAR, from_trials(trials(worse, about(100)), trials(better, about(100)[::-1]))),
        (UNCLEAR, from_trials(target(worse, 40, 50, 60), target(better, 45, 30, 20))),
        (UNCLEAR, from_trials(target(worse, *THREE), target(better, *THREE))),
        (UNCLEAR, from_trials(target(worse, 100, 100), target(better, 10, 10))),
        (NOT_MEASURED, from_trials(trials(worse, about(100)))),
    ]


def both_moved(without, with_it):
    return [
        (SUPPORTED, from_trials(moved(without, about(4.0)), moved(with_it, about(2.0)))),
        (REFUTED, from_trials(moved(without, about(2.0)), moved(with_it, about(4.0)))),
        (UNCLEAR, from_trials(moved(without, about(2.0)), moved(with_it, about(2.0)[::-1]))),
        (NOT_MEASURED, from_trials(trials(without, about(9)), trials(with_it, about(9)))),
    ]


def batches(large, mini, flops=(1.0, 1.0), seconds=(1.0, 1.0)):
    made = zip((32, 512), (mini, large), flops, seconds, strict=True)
    return from_trials(
        *(trials(steps=about(n), batch=b, flops=f, seconds=s, **SGD) for b, n, f, s in made)
    )


def optimizers(plain, other, flops, name="newton", workload=LINEAR):
    return from_trials(
        trials(workload, about(plain), **GD),
        trials(workload, about(other), optimizer=name, flops=flops),
    )


def every(workload):
    return [
        (SUPPORTED, from_trials(target(workload, 40, 41, 42, **MADE))),
        (DEPENDS, from_trials(target(workload, 40, NEVER, 42, **MADE))),
        (REFUTED, from_trials(target(workload, *THREE))),
        (UNCLEAR, from_trials(target(workload, 40, 41, **MADE))),
    ]


CASES = {
    "products": [
        (SUPPORTED, E(findings=[share(0.99, 0.95)])),
        (REFUTED, E(findings=[share(0.6, 0.5)])),
        (DEPENDS, E(findings=[share(0.99, 0.3)])),
        (UNCLEAR, E(findings=[share(0.99, 0.9, spread=0.05)])),
    ],
    "gpu": [
        (SUPPORTED, E([*timed({32: 1e-3}), *timed({32: 1e-4}, "cuda")])),
        (REFUTED, E([*timed({32: 1e-4}), *timed({32: 1e-3}, "cuda")])),
        (DEPENDS, E([*timed({1: 1e-5, 64: 1e-2}), *timed({1: 1e-4, 64: 1e-4}, "cuda")])),
        (UNCLEAR, E([*timed({32: 1e-3}), *timed({32: 0.93e-3}, "cuda")])),
    ],
    "minibatch_cost": [
        (SUPPORTED, E(timed({32: 1e-4, 1024: 1e-3}))),
        (REFUTED, E(timed({32: 1e-3, 1024: 1e-4}))),
        (UNCLEAR, E(timed({32: 1e-3, 1024: 1.08e-3}))),
        (
            DEPENDS,
            E([*timed({32: 1e-4, 1024: 1e-3}), *timed({32: 1e-3, 1024: 9e-4}, subject="rnn")]),
        ),
    ],
    "minibatch_noise": [
        (SUPPORTED, E(findings=noise(-1))),
        (DEPENDS, E(findings=noise(-0.5))),
        (REFUTED, E(findings=noise(0.5))),
        (UNCLEAR, E(findings=flat_noise())),
        (SUPPORTED, E(findings=noise(-0.97, within=1.05))),  # known well, and within 0.1 of -1
        (UNCLEAR, E(findings=noise(-0.9))),
        (DEPENDS, E(findings=noise(-1) + noise(0.0, "another"))),
        (DEPENDS, E(findings=bent_noise())),
    ],
    "minibatch_progress": [
        (SUPPORTED, batches(100, 200, flops=(1, 16), seconds=(1, 16))),
        (REFUTED, batches(100, 2000, flops=(1, 16), seconds=(1, 16))),
        (DEPENDS, batches(100, 200, flops=(1, 16), seconds=(1, 1))),
        (UNCLEAR, batches(100, 100)),
    ],
    "conditioning": [
        *both_ways(RAW, STANDARD),
        (
            DEPENDS,
            from_trials(
                *(trials(w, about(s)) for w, s in ((RAW, 9), (SHIFTED, 90), (STANDARD, 30)))
            ),
        ),
    ],
    "initialisation": [
        *both_ways("deep_mlp/4x64-normal", "deep_mlp/4x64"),
        (
            DEPENDS,
            from_trials(
                trials("deep_mlp/4x64-normal", about(50)),
                trials("deep_mlp/4x64", about(100)),
                trials("deep_mlp/4x64-he", about(25)),
            ),
        ),
    ],
    "normalisation": [
        *both_ways("deep_mlp/16x64", "deep_mlp/16x64-layer"),
        (
            DEPENDS,  # alone it never gets there, with skips it does
            from_trials(
                target("deep_mlp/16x64", *THREE),
                target("deep_mlp/16x64-layer", *THREE),
                target("deep_mlp/16x64-skip", 90, 91, 92),
                target("deep_mlp", 30, 31, 32),
            ),
        ),
    ],
    "skip": [
        *both_ways("deep_mlp/16x64", "deep_mlp/16x64-skip"),
        (
            DEPENDS,
            from_trials(
                target("deep_mlp/16x64", *THREE),
                target("deep_mlp/16x64-skip", 90, 91, 92),
                target("deep_mlp/16x64-layer", 20, 21, 22),
                target("deep_mlp", 30, 31, 32),
            ),
        ),
    ],
    "second_order": [
        (SUPPORTED, optimizers(100, 10, 100.0)),
        (REFUTED, optimizers(10, 100, 100.0)),
        (DEPENDS, optimizers(1000, 10, 2.0)),
        (UNCLEAR, optimizers(100, 10, 10.0)),
    ],
    "first_order": [
        (SUPPORTED, optimizers(100, 10, 1.0, "adam")),
        (REFUTED, optimizers(10, 100, 1.0, "adam")),
        (UNCLEAR, optimizers(100, 100, 1.0, "adam")),
        (
            DEPENDS,
            from_trials(
                trials(LINEAR, about(50), **GD),
                trials(LINEAR, about(5), optimizer="momentum"),
                trials(LINEAR, about(500), optimizer="adagrad"),
            ),
        ),
    ],
    "huber": both_ways(MSE, HUBER),
    "convolution": both_moved("cnn/mlp", "cnn"),
    "recurrence": [
        *both_moved("rnn/mlp", "rnn"),
        (
            DEPENDS,
            from_trials(
                moved("rnn/mlp", about(2.0)), moved("rnn", about(4.0)), moved("rnn/gru", about(1.0))
            ),
        ),
    ],
    "depth_or_width": [
        *both_ways("deep_mlp/2x844-layer-skip", "deep_mlp"),
        (
            DEPENDS,  # sooner in steps, later in seconds
            from_trials(
                trials("deep_mlp/2x844-layer-skip", about(100)),
                trials("deep_mlp", about(50), seconds=1.0),
            ),
        ),
    ],
    "word_vectors": every("word2vec"),
    "generation": [
        (SUPPORTED, from_trials(*(target(w, 4, 5, 6, **MADE) for w in ("char_rnn", "pixelcnn")))),
        (DEPENDS, from_trials(target("char_rnn", 4, 5, 6, **MADE), target("pixelcnn", *THREE))),
        (REFUTED, from_trials(target("char_rnn", *THREE), target("pixelcnn", *THREE))),
        (UNCLEAR, from_trials(target("char_rnn", 4, 5, 6, **MADE))),
        (UNCLEAR, from_trials(target("char_rnn", 4, 5, 6), target("pixelcnn", 4, 5, 6))),
    ],
    "agent": every("cartpole"),
    "backpropagation": [
        (SUPPORTED, E(findings=[backward(2.0, 1.9, 2.1, saved_bytes=1e6)])),
        (REFUTED, E(findings=[backward(4.0, 3.9, 4.1, saved_bytes=1e6)])),
        (DEPENDS, E(findings=[backward(4.0, 3.9, 4.1), backward(2.0, 1.9, 2.1)])),
        (UNCLEAR, E(findings=[backward(2.0, None, None, saved_bytes=1e6)])),
        (
            UNCLEAR,  # that all of them hold something is no vote
            E(findings=[backward(2.0, *ends, saved_bytes=1e6) for ends in ((1, 4), (1.9, 2.1))]),
        ),
    ],
    "fusion": [
        (SUPPORTED, E(fused([1.5, 2.0]))),
        (REFUTED, E(fused([0.5, 0.6]))),
        (DEPENDS, E(fused([0.5, 2.0]))),
        (UNCLEAR, E(fused([1.01]))),
    ],
}
