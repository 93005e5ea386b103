"""How the screen looks: its colours and where things stand."""

from textual.theme import Theme

THEME = Theme(
    name="keima",
    primary="#ffb02e",
    secondary="#5aaaff",
    accent="#ffb02e",
    foreground="#d9dde5",
    background="#14161b",
    surface="#1b1e25",
    panel="#232730",
    success="#34c38f",
    warning="#ffb02e",
    error="#ff6b5e",
    dark=True,
)

CSS = """
Screen { background: $background; layers: base over; }
#top { height: 1; background: $panel; color: $foreground; padding: 0 1; }
#middle, GameView { height: 1fr; }
Board { width: 1fr; height: 1fr; background: $background; }
#side { width: 46; height: 1fr; background: $surface; padding: 0 1; }
#players { height: 2; }
Graph { height: 7; margin: 1 0 0 0; }
.short Graph { height: 5; margin: 0; }
#summary { height: 1; color: $text-muted; }
#candidates { height: 8; }
.short #candidates { height: 6; }
.tall Graph { height: 11; }
.tall #candidates { height: 14; }
.no-panel Graph, .no-panel #summary, .no-panel #candidates { display: none; }
#moves-box { height: 1fr; min-height: 2; margin: 1 0 0 0; scrollbar-size-vertical: 1; }
.short .with-panel #moves-box { display: none; }
#moves { width: 1fr; height: auto; }
#messages-box { height: 2fr; min-height: 3; margin: 1 0 0 0; scrollbar-size-vertical: 1; border-top: solid $panel; }
.short #messages-box { margin: 0; }
.below #players, .below Graph, .below.with-panel #moves-box { display: none; }
.below #moves-box { height: 2; margin: 0; }
.below #candidates { height: 4; }
.below #messages-box { margin: 0; border-top: none; }
.text-alone #players, .text-alone Graph, .text-alone #summary, .text-alone #candidates, .text-alone #moves-box {
    display: none; }
#messages { width: 1fr; height: auto; padding: 0 1 0 0; }
#command { height: 1; border: none; padding: 0 1; background: $panel; }
#command:focus { border: none; background: $panel; }
Footer { background: $background; }
#too-small { layer: over; display: none; width: 100%; height: 100%; content-align: center middle;
    background: $background; text-align: center; }
.tiny #too-small { display: block; }

StartDialog, HelpScreen { align: center middle; background: $background 70%; }
.box { width: 64; max-width: 100%; height: auto; max-height: 100%; background: $surface; border: round $primary;
    padding: 0 2; }
.box .title { width: 1fr; text-align: center; color: $primary; text-style: bold; height: 1; }
.row { height: 1; }
.row Label { width: 15; color: $text-muted; }
.row Input { width: 1fr; border: none; height: 1; padding: 0 1; background: $panel; }
.row Input:focus { border: none; background: $primary 25%; }
Cycle { width: 1fr; height: 1; background: $panel; padding: 0 1; }
Cycle:focus { background: $primary 25%; }
.error { color: $error; height: auto; }
.note { color: $text-muted; height: auto; text-align: center; }
#help-text { height: auto; }
#help-box { width: 100; height: auto; max-height: 100%; }
"""
