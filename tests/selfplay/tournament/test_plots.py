"""Ladders drawn: what is in a picture is looked for in matplotlib's figure; the files are read back."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keima.games.contract import GameError
from keima.selfplay.tournament.ladder import signed
from keima.selfplay.tournament.plots import TimedRating, plot_ladder, plot_run, write_tensorboard
from keima.selfplay.tournament.ratings import PairResult, rate

NAMES = ["run at step 0", "run at step 1000", "run at step 2000", "random"]
ELO = [-300, 100, 250, -1200]


def games():
    results = []
    for i, a in enumerate(NAMES):
        for j, b in enumerate(NAMES):
            if i != j:
                share = 1 / (1 + 10 ** ((ELO[j] - ELO[i]) / 400))
                results.append(PairResult(a, b, round(20 * share), 0, 20 - round(20 * share)))
    return results


RATINGS = rate(games(), anchors={NAMES[1]: 0})
POINTS = [TimedRating(10.0 * i, 1000 * i, RATINGS[name]) for i, name in enumerate(NAMES[:3])]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved while the test runs."""
    figures = []
    save = Figure.savefig

    def keep(self, *arguments, **options):
        figures.append(self)
        return save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def is_inside(figure: Figure) -> bool:
    """Whether all that is written is within the picture and readable."""
    box = figure.bbox
    texts = [
        text for axes in figure.axes for text in [*axes.texts, *axes.get_yticklabels(), axes.title] if text.get_text()
    ]
    extents = [text.get_window_extent() for text in texts]
    return all(box.x0 <= e.x0 and e.x1 <= box.x1 and box.y0 <= e.y0 and e.y1 <= box.y1 for e in extents)


def test_a_ladder(tmp_path, drawn):
    plot_ladder(RATINGS, tmp_path / "ladder.png", "A ladder")
    assert matplotlib.image.imread(tmp_path / "ladder.png").shape[1] > 800
    (figure,) = drawn
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [player.name for player in RATINGS.players]
    assert axes.yaxis_inverted()  # the best on top
    texts = [text.get_text() for text in axes.texts]
    for player in RATINGS.players:
        assert signed(player.elo) in texts
        assert f"{player.games:.0f}" in texts
    ends = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    best = RATINGS.players[0]
    assert (best.low, best.elo) in ends
    assert (best.elo, best.high) in ends
    assert any("won or lost everything" in text for text in texts)  # random did
    assert is_inside(figure)


def test_long_names_many_players_and_groups_fit(tmp_path, drawn):
    names = [f'gtp:"an-engine --with many --options {i}" seconds=2 name="number {i}"' for i in range(25)]
    results = [PairResult(a, b, 2, 1, 2) for a in names for b in names if a < b]
    plot_ladder(rate([*results, PairResult("x", "y", 3, 1, 2)]), tmp_path / "ladder.png")
    assert is_inside(drawn[0])


def test_a_run(tmp_path, drawn):
    plot_run(POINTS[::-1], tmp_path / "run.png", [RATINGS["random"]], "A run")
    assert matplotlib.image.imread(tmp_path / "run.png").shape[1] > 800
    (figure,) = drawn
    (axes,) = figure.axes
    curve = next(line for line in axes.lines if len(line.get_xdata()) == 3)
    assert list(curve.get_xdata()) == [0, 10, 20]
    assert list(curve.get_ydata()) == [RATINGS[name].elo for name in NAMES[:3]]
    assert "random" in [text.get_text() for text in axes.texts]
    assert is_inside(figure)


def test_a_run_of_one_checkpoint(tmp_path):
    plot_run(POINTS[:1], tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 1000
    with pytest.raises(GameError, match="no checkpoint to draw"):
        plot_run([], tmp_path / "none.png")


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(GameError, match=r"missing/ladder.png: cannot be written: No such file"):
        plot_ladder(RATINGS, tmp_path / "missing" / "ladder.png")


def test_tensorboard_reads_the_newest_ratings_alone(tmp_path):
    write_tensorboard(POINTS[:2], tmp_path)
    write_tensorboard(POINTS, tmp_path)
    folder = tmp_path / "tensorboard" / "ratings"
    assert len(list(folder.iterdir())) == 1
    events = EventAccumulator(str(folder)).Reload()
    assert set(events.Tags()["scalars"]) == {"elo/rating", "elo/low", "elo/high"}
    rated = events.Scalars("elo/rating")
    assert [event.step for event in rated] == [0, 1000, 2000]
    assert [event.value for event in rated] == pytest.approx([point.rating.elo for point in POINTS], abs=1e-3)
    minutes = (np.array([event.wall_time for event in rated]) - rated[0].wall_time) / 60
    assert minutes == pytest.approx([0, 10, 20], abs=1e-3)
