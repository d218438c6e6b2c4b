"""python -m harness check FILE of an operation: right, wrong and not checked, with the reason."""

import time
from dataclasses import replace

import pytest
import torch

import kernels
from harness import check, compulsory, own
from harness.__main__ import main
from harness.check import RIGHT, UNKNOWN, WRONG
from kernels.spec import Case, Cost
from tests.harness.test_own import OPERATION

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CASE = Case({"N": 100}, "float32")


@pytest.fixture
def operation(tmp_path):
    (tmp_path / "mine.py").write_text(OPERATION)
    return replace(own.load(tmp_path / "mine.py")[0], cases=(CASE,))


def found(subject):
    return {f.what.removeprefix(f"{CASE.name} "): f for f in check.findings(subject, DEVICE)}


def adding(operation, **providers):
    made = {name: (lambda call=call: call) for name, call in providers.items()}
    return replace(operation, providers={**operation.providers, **made})


def test_the_command_tells_each_case_and_provider_and_ends_with_0_or_1(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(OPERATION)
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "right        N100-float32-forward mine: error" in out
    path.write_text(OPERATION.replace("return x.exp() / x.exp().sum()", "return x"))
    assert main(["check", str(path)]) == 1
    out = capsys.readouterr().out
    assert "WRONG        N100-float32-forward mine: wrong answer: error" in out
    assert "right        N100-float32-forward torch: error" in out
    assert "2 right, 2 wrong, 1 not checked" in out


def test_where_nothing_could_be_checked_nothing_is_right(tmp_path, capsys):
    path = tmp_path / "mine.py"
    other = "cuda" if DEVICE == "cpu" else "cpu"
    path.write_text(
        OPERATION.replace("tuple(CASES)", f"(Case({{}}, 'float32', devices={(other,)}),)")
    )
    assert main(["check", str(path)]) == 1
    assert f"it is meant for {other} alone" in capsys.readouterr().out


def test_whatever_a_provider_does_is_its_own_line(operation):
    def raises(x):
        raise RuntimeError("no such thing\nsecond line")

    def writes(x):
        return x.mul_(2).softmax(0)

    def peer():
        raise ModuleNotFoundError("", name="a_peer")

    providers = {**adding(operation, raises=raises, writes=writes).providers, "peer": peer}
    lines = found(replace(operation, providers=providers))
    assert {what: line.verdict for what, line in lines.items()} == {
        "mine": RIGHT, "torch": RIGHT, "raises": WRONG, "writes": WRONG, "peer": UNKNOWN
    }  # fmt: skip
    assert lines["raises"].words == "RuntimeError: no such thing"
    assert lines["writes"].words == "it writes into its inputs"
    assert lines["peer"].words == "a_peer is not installed"


def kept_by(key):
    answers = {}

    def softmax(x):
        return answers.setdefault(key(x), x.softmax(0))

    return softmax


def stale():
    calls = []

    def softmax(x):
        calls.append(x.softmax(0) if len(calls) < 20 else calls[-1])
        return calls[-1]

    return softmax


def late(what):
    """Right in its first calls, and then it does something else first."""
    calls = []

    def softmax(x):
        calls.append(x)
        if len(calls) > 10:
            what(x)
        return x.softmax(0)

    return softmax


def refuse(x):
    raise RuntimeError("no more")


def test_what_is_right_at_first_is_called_often_as_timing_does(operation):
    lines = found(
        adding(
            operation,
            by_address=kept_by(lambda x: x.data_ptr()),
            by_version=kept_by(lambda x: (x.data_ptr(), x._version)),
            stale=stale(),
            writing=late(lambda x: x.mul_(2)),
            raising=late(refuse),
            setting=late(lambda x: torch.use_deterministic_algorithms(True)),
            honest=kept_by(lambda x: object()),
        )
    )
    assert [what for what, line in lines.items() if line.verdict == RIGHT] == [
        "mine", "torch", "honest"
    ]  # fmt: skip
    for name in ("by_address", "by_version", "stale"):
        words = "right at first, and not after 30 calls: wrong answer: error"
        assert lines[name].words.startswith(words)
    assert lines["writing"].words == "it writes into its inputs, of 30 calls in one"
    assert lines["raising"].words == "after some calls RuntimeError: no more"
    told = "it changes torch's deterministic_algorithms from False to True, for all others too"
    assert lines["setting"].words == told
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_is_too_slow_to_be_called_often_is_right_and_says_so(operation, monkeypatch):
    monkeypatch.setattr(check, "LIMIT_S", 0.5)
    lines = found(adding(operation, slow=late(lambda x: time.sleep(3))))
    assert lines["slow"].verdict == RIGHT
    assert lines["slow"].words.endswith("; too slow here to be called often")


def test_a_reference_that_raises_is_told_once(operation):
    lines = found(replace(operation, reference=lambda x: 1 / 0))
    assert {w: line.verdict for w, line in lines.items()} == {"reference": WRONG}
    assert lines["reference"].words == "ZeroDivisionError: division by zero"


def test_what_takes_too_long_is_given_up_and_nothing_larger_is_begun(operation, monkeypatch):
    monkeypatch.setattr(check, "LIMIT_S", 0.3)
    begun = []

    def forever(x):
        begun.append(len(x))
        try:
            time.sleep(3)
        except Exception:  # who swallows all exceptions is stopped too
            time.sleep(3)
        return x.softmax(0)

    larger = replace(operation, cases=(CASE, Case({"N": 200}, "float32")))
    lines = list(check.findings(adding(larger, forever=forever), DEVICE))
    assert begun == [100]
    late = [line for line in lines if line.what.endswith("forever")]
    assert [line.verdict for line in late] == [UNKNOWN, UNKNOWN]
    assert late[0].words == "over 0.3 s here: a smaller case or a GPU tells"
    assert late[1].words == "as large as N100-float32-forward, which took too long"
    assert sum(line.verdict == RIGHT for line in lines) == 4


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (lambda case: 1 // 0, "ZeroDivisionError: integer division or modulo by zero"),
        (lambda case: (500, 800), "it gives tuple, and is to give a kernels.spec.Cost"),
        (lambda case: Cost(500, -800), "ValueError: a cost's bytes: -800 is no whole number"),
        (lambda case: Cost(2.5, 800), "ValueError: a cost's flops: 2.5 is no whole number"),
        (lambda case: Cost(500, True), "ValueError: a cost's bytes: True is no whole number"),
    ],
)
def test_a_cost_that_is_none_is_told_once_a_case_for_any_device(operation, cost, words):
    other = Case({"N": 200}, "float32", devices=("cuda" if DEVICE == "cpu" else "cpu",))
    lines = [*check.findings(replace(operation, cost=cost, cases=(CASE, other)), DEVICE)]
    assert [line.what for line in lines] == [f"{case.name} cost" for case in (CASE, other)]
    assert all(line.verdict == WRONG and line.words.startswith(words) for line in lines)


def gathering(operation):
    def inputs(case, device, seed):
        generator = torch.Generator(device).manual_seed(seed)
        table = torch.randn(100, generator=generator, device=device)
        return table, torch.randint(100, (10,), generator=generator, device=device)

    def rows(table, index):
        return table[index]

    return replace(operation, inputs=inputs, reference=rows, magnitude=rows, providers={
        "mine": lambda: rows, "torch": lambda: rows,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("bytes", "verdict", "words"),
    [
        (200, WRONG, "200 bytes declared, fewer than the 800 of its inputs, each read once"),
        (799, WRONG, "799 bytes declared, fewer than the 800"),  # 100 float32 read and written
        (2401, WRONG, "2,401 bytes declared, over 3 times what its inputs and outputs have"),
        (800, None, ""),
        (2400, None, ""),
    ],
)
def test_bytes_are_held_to_inputs_and_outputs(operation, bytes, verdict, words):
    lines = found(replace(operation, cost=lambda case: Cost(500, bytes)))
    assert lines["mine"].verdict == lines["torch"].verdict == RIGHT
    told = lines.get("cost")
    assert (told and told.verdict) == verdict
    assert words in (told.words if told else "")


def test_fewer_bytes_can_be_right_where_an_index_says_which_are_read(operation):
    honest = 10 * (4 + 8 + 4)  # of the table, which has 400 bytes, ten elements
    lines = found(replace(gathering(operation), cost=lambda case: Cost(0, honest)))
    assert lines["cost"].verdict == UNKNOWN
    assert lines["cost"].words.startswith("160 bytes declared, and its inputs and outputs have 520")
    assert lines["mine"].verdict == RIGHT


def test_what_is_expanded_or_given_twice_is_read_once():
    x, one = torch.ones(10, 10), torch.ones(10)
    assert compulsory.span("forward", (x, x.t(), one.expand(10, 10)), 4) == (444, 3 * 1204)
    assert compulsory.span("forward", (x[:, :2], x[:, 8:]), 4)[0] == 164
    assert compulsory.span("backward", (x, one), 400)[0] == 440


# every letter at most this, so that what is meant for a GPU can be looked at too
SMALL = 48


@pytest.mark.parametrize("name", kernels.NAMES)
def test_our_own_costs_fit_the_tensors_in_every_direction(name):
    ours = kernels.load(name)
    small = {
        (tuple(shape.items()), case.dtype, case.direction): Case(shape, case.dtype, case.direction)
        for case in ours.cases
        for shape in [{letter: min(size, SMALL) for letter, size in case.shape.items()}]
    }
    plain = {ours.baseline: lambda: ours.reference}
    cases = tuple(small.values())
    alone = replace(ours, cases=cases, providers=plain, triton=(), in_place=())
    lines = [*check.findings(alone, DEVICE)]
    assert len(lines) == len(cases)
    assert not [line for line in lines if "cost" in line.what or line.verdict == WRONG]


@pytest.mark.skipif(DEVICE == "cuda", reason="there is no need for the interpreter")
def test_bfloat16_that_only_the_interpreter_gets_wrong_is_not_called_wrong(operation):
    def inputs(case, device, seed):
        x = torch.randn(100, generator=torch.Generator().manual_seed(seed))
        return (x.to(getattr(torch, case.dtype)),)

    def wrong(x):
        return x.softmax(0) * 2

    cases = tuple(Case({"N": 100}, dtype) for dtype in ("bfloat16", "float16"))
    both = replace(adding(operation, kernel=wrong, plain=wrong), inputs=inputs, cases=cases)
    both = replace(both, triton=("kernel",))
    verdicts = {line.what: line for line in check.findings(both, DEVICE)}
    assert verdicts["N100-bfloat16-forward kernel"].words == check.BFLOAT16
    assert verdicts["N100-bfloat16-forward kernel"].verdict == UNKNOWN
    assert verdicts["N100-bfloat16-forward plain"].verdict == WRONG
    assert verdicts["N100-float16-forward kernel"].verdict == WRONG
