"""How many steps a workload takes to its target: a plain loop, for tests of findings."""

import dataclasses
from itertools import islice

from workloads import data, optimizers


def steps_to_target(workload, seed, every=2, **changed):
    """Steps until the first evaluation at the target, every so many steps; None if it never is.

    `changed` replaces fields of the workload: learning_rate, optimizer, max_steps.
    """
    workload = dataclasses.replace(workload, **changed)
    model = workload.model(seed)
    step = optimizers.make(workload.optimizer, model, workload.loss, workload.learning_rate)
    train, validation = workload.data()
    stream = data.stream(workload, model, train, workload.batch_size, seed)
    for count, batch in enumerate(islice(stream, workload.max_steps), 1):
        step(batch)
        if count % every == 0 and workload.target.reached(
            workload.metric(model, validation).item()
        ):
            return count
    return None
