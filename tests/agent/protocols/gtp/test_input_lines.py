"""Lines of a stream that somebody writes to meanwhile."""

import io
import os
import threading

from keima.agent.protocols.gtp.input_lines import MAX_LINE, StreamLines


def test_lines_come_in_order_and_then_the_end():
    lines = StreamLines(io.BytesIO(b"one\ntwo\xff\n\nlast"))
    assert [lines.next() for _ in range(5)] == ["one", "two�", "", "last", None]


def test_what_is_too_long_is_cut():
    lines = StreamLines(io.BytesIO(b"x" * (3 * MAX_LINE + 5) + b"\nshort\n"))
    assert lines.next() == "x" * MAX_LINE
    assert lines.next() == "short"
    assert lines.next() is None


def test_whether_there_is_a_line_is_known_without_waiting():
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as stream:
        lines = StreamLines(stream)
        assert not lines.is_ready()
        os.write(writer, b"half")
        assert not lines.is_ready()
        os.write(writer, b" and half\nnext\n")
        lines.wait()
        assert lines.is_ready()
        lines.wait()
        assert lines.next() == "half and half"
        assert lines.next() == "next"
        assert not lines.is_ready()
        threading.Timer(0.05, os.close, [writer]).start()
        lines.wait()  # for the end
        assert lines.is_ready()
        assert lines.next() is None
