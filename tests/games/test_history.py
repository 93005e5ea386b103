"""The ring of positions against a list of all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keima.games.history import occurrences, remember


class NaiveHistory:
    """All positions that there were."""

    def __init__(self, length):
        self.length, self.codes = length, []

    def occurrences(self, first, code):
        known = range(max(first, len(self.codes) - self.length), len(self.codes))
        return sum(self.codes[number] == code for number in known)


@given(st.integers(1, 9), st.integers(0, 3), st.lists(st.integers(-3, 3), max_size=40), st.data())
def test_as_a_list_of_all_positions(length, at, codes, data):
    state = np.full(at + length + 2, 99, np.int64)
    naive = NaiveHistory(length)
    for number, code in enumerate(codes):
        first = data.draw(st.integers(0, number))
        assert occurrences(state, at, length, first, number, code) == naive.occurrences(first, code)
        remember(state, at, length, number, code)
        naive.codes.append(code)
    assert (state[:at] == 99).all()
    assert (state[at + length :] == 99).all()


def test_a_row_is_cloned_with_its_history():
    state = np.zeros(4, np.int64)
    for number, code in enumerate((7, 8, 7)):
        remember(state, 0, 4, number, code)
    clone = state.copy()
    remember(clone, 0, 4, 3, 7)
    assert occurrences(state, 0, 4, 0, 3, 7) == 2
    assert occurrences(clone, 0, 4, 0, 4, 7) == 3
    assert occurrences(clone, 0, 4, 1, 4, 7) == 2
