"""What a run's state says of the steps that are due, over resumes and changed ratios."""

from hypothesis import given
from hypothesis import strategies as st

from keima.selfplay.config.loader import load_config
from keima.selfplay.run.run_state import RunState

RATIOS = st.tuples(st.sampled_from([0.5, 1.0, 2.0, 3.0, 8.0]), st.sampled_from([32, 96, 256]))


def new(samples=4.0, batch_size=32):
    return RunState.new(
        load_config("tictactoe", [f"replay.samples_per_position={samples}", f"learner.batch_size={batch_size}"])
    )


def test_steps_are_due_as_samples_are_asked_for():
    state = new(samples=4.0, batch_size=32)
    assert state.steps_due == 0
    state.positions = 799
    assert state.steps_due == 99
    assert state.replay_ratio(step=99) == 99 * 32 / 799


@given(RATIOS, RATIOS, st.integers(0, 10**6), st.integers(0, 10**4))
def test_a_changed_ratio_counts_from_where_it_was_changed(before, after, positions, more):
    state = new(*before)
    state.positions = positions
    step = state.steps_due
    resumed = new(*after)
    resumed.load(state.as_saved(0), step)
    assert resumed.steps_due == step
    resumed.positions += more
    assert resumed.steps_due == (
        int((positions + more) * before[0] / before[1]) if before == after else step + int(more * after[0] / after[1])
    )
    killed = new(*after)
    killed.load(state.as_saved(0), step)  # before anything was saved since
    killed.positions += more
    assert killed.steps_due == resumed.steps_due
    saved_again = new(*after)
    saved_again.load(resumed.as_saved(0), resumed.steps_due)
    assert saved_again.steps_due == resumed.steps_due


def test_the_state_of_an_earlier_version_goes_on_as_it_was():
    state = new()
    state.positions = 1000
    saved = state.as_saved(5)
    del saved["steps_due"], saved["evaluations"]
    resumed = new()
    resumed.load(saved, step=125)
    assert (resumed.steps_due, resumed.evaluations) == (125, 0)
