"""The pure parts of the benchmark: medians, ratios, goals, tables, chart. Nothing is measured here."""

from xml.etree import ElementTree

import pytest
from bench import ab, chart, peers, report, workloads
from bench.rows import ROWS, Goal, Row

COST = Row("a GET", "small", "cpu_us", "us", goals=(Goal("3x", "aiohttp", 3), Goal("1.2x fast", "fast", 1.2)))
SPEED = Row("a stream", "download", "mb", "MB/s", higher_is_better=True, goals=(Goal("1.3x", "aiohttp", 1.3),))
SIZE = Row("memory", "idle", "kb", "KB", 1, goals=(Goal("at most 10 KB", limit=10),))


def results(row, **figures):
    """Results as the runner gives them: for each peer a list with one figure a round."""
    return [
        {"round": number, "peer": peer, "workload": row.workload, "figures": {row.figure: value}}
        for peer, values in figures.items()
        for number, value in enumerate(values)
    ]


def one_line(row, **figures):
    [line] = report.analyse(results(row, **figures), rows=[row])
    return line


def test_figures_are_medians_of_the_rounds():
    line = one_line(COST, endwell=[10, 30, 11], aiohttp=[40, 44, 33])
    assert line.figures == {"endwell": 11, "aiohttp": 40}


def test_a_ratio_is_taken_within_a_round_and_then_the_median():
    # The second round was slow for everybody, which leaves its ratio alone.
    line = one_line(COST, endwell=[10, 30, 11], aiohttp=[40, 90, 33])
    assert line.ratios["endwell"] == 3  # of 4, 3, 3; the ratio of the medians would be 40 / 11
    assert line.ratios["aiohttp"] == 1
    assert line.span == (3, 4)


def test_more_is_better_turns_the_ratio_round():
    line = one_line(SPEED, endwell=[300], aiohttp=[200])
    assert line.ratios["endwell"] == 1.5
    assert report.is_met(*line.verdicts[0])


def test_a_round_without_both_peers_gives_no_ratio():
    line = one_line(COST, endwell=[10], aiohttp=[30, 90])
    assert line.ratios["endwell"] == 3
    assert line.figures["aiohttp"] == 60


def test_each_goal_is_held_against_its_own_peer():
    line = one_line(COST, endwell=[10], aiohttp=[30], fast=[11])
    assert [report.verdict(*pair) for pair in line.verdicts] == ["3x: met", "1.2x fast: missed (1.10x)"]


@pytest.mark.parametrize(("value", "expected"), [(10.0, "at most 10 KB: met"), (10.1, "at most 10 KB: missed (10.1)")])
def test_a_limit_includes_itself(value, expected):
    line = one_line(SIZE, endwell=[value])
    assert report.verdict(*line.verdicts[0]) == expected


def test_a_goal_without_a_measurement_is_neither_met_nor_missed():
    line = one_line(COST, aiohttp=[30], fast=[11])
    assert [report.is_met(*pair) for pair in line.verdicts] == [None, None]
    assert line.span is None
    assert report.summary([line]) == "0 of 2 goals met, 0 missed, 2 not measured"


def test_failed_measurements_are_listed_once_and_not_counted():
    good = results(COST, endwell=[10], aiohttp=[30])
    bad = [{"round": n, "peer": "endwell", "workload": "small", "failed": "3 errors"} for n in (1, 2)]
    [line] = report.analyse([*good, *bad], rows=[COST])
    assert line.figures["endwell"] == 10
    assert report.failures([*good, *bad]) == ["small, endwell: 3 errors (2 of its rounds)"]


def test_a_figure_of_zero_does_not_divide():
    line = one_line(SIZE, endwell=[0], aiohttp=[5])
    assert "endwell" not in line.ratios
    assert report.is_met(*line.verdicts[0])


def test_rows_that_were_not_run_are_left_out():
    assert report.analyse(results(COST, endwell=[10]), rows=[SPEED, SIZE]) == []


def test_the_tables_have_a_cell_for_each_peer():
    lines = report.analyse(
        [*results(COST, endwell=[1010], aiohttp=[3030]), *results(SIZE, aiohttp=[13.25])], rows=[COST, SIZE]
    )
    names = ["endwell", "aiohttp"]
    assert report.figures_table(lines, names) == [
        ["median", "unit", "endwell", "aiohttp"],
        ["a GET", "us", "1,010", "3,030"],
        ["memory", "KB", "-", "13.2"],
    ]
    [head, get, _] = report.ratios_table(lines, names)
    assert head == ["times better than aiohttp", "endwell", "aiohttp", "lowest-highest", "goal"]
    assert get == ["a GET", "3.00", "1.00", "3.00-3.00", "3x: met; 1.2x fast: not measured"]


def test_text_columns_are_aligned():
    assert report.as_text([["", "a"], ["long name", "1"], ["x", "1,000"]]).splitlines() == [
        "               a",
        "----------------",
        "long name      1",
        "x          1,000",
    ]


def test_markdown_shows_figure_and_ratio():
    line = one_line(COST, endwell=[10], aiohttp=[30])
    last = report.as_markdown([line], ["endwell", "aiohttp", "wreq"]).splitlines()[-1]
    assert last == "| a GET, us | 10 (3.00x) | 30 | - | 3x: met; 1.2x fast: not measured |"


def test_the_chart_is_xml_with_the_best_on_top_and_bars_to_scale():
    line = one_line(COST, aiohttp=[30], endwell=[10], wreq=[15])
    root = ElementTree.fromstring(chart.bar_chart(line, "CPU <time>", "a & b"))
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{space}text")]
    assert texts[:2] == ["CPU <time>", "a & b"]
    assert texts[2::2] == ["endwell", "wreq", "aiohttp"]
    assert texts[3::2] == ["10 \u00b5s", "15 \u00b5s \u00b7 1.5x", "30 \u00b5s \u00b7 3.0x"]
    bars = list(root.iter(f"{space}rect"))
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths == pytest.approx([widths[2] / 3, widths[2] / 2, widths[2]], abs=0.1)
    assert [bar.get("class") for bar in bars] == ["own", None, None]
    assert "prefers-color-scheme: dark" in root.find(f"{space}style").text


def test_the_chart_of_a_speed_has_the_fastest_on_top():
    line = one_line(SPEED, aiohttp=[200], endwell=[300])
    root = ElementTree.fromstring(chart.bar_chart(line, "", ""))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[2:] == ["endwell", "300 MB/s", "aiohttp", "200 MB/s \u00b7 1.5x"]


def test_two_versions_are_compared_round_by_round():
    row = next(row for row in ROWS if row.workload == "small")
    text = ab.compare(results(row, endwell=[20, 22, 30], other=[22, 24.2, 27]))
    assert text.splitlines()[-1].split()[-9:] == ["us", "22.00", "24.20", "1.100x", "0.900", "1.100", "2", "of", "3"]


def test_the_other_version_needs_sources(tmp_path):
    with pytest.raises(SystemExit, match="no package endwell"):
        ab.contenders(tmp_path)
    (tmp_path / "src" / "endwell").mkdir(parents=True)
    (tmp_path / "src" / "endwell" / "__init__.py").touch()
    own, other = ab.contenders(tmp_path)
    assert (own.name, other.name) == ("endwell", "other")
    assert other.paths == (str(tmp_path / "src"),)


def test_every_row_has_its_workload_and_every_workload_a_row():
    assert {row.workload for row in ROWS} == set(workloads.BY_NAME)
    assert {goal.peer for row in ROWS for goal in row.goals} - {None} <= set(peers.BY_NAME)
    assert set(workloads.SHORT) <= set(workloads.BY_NAME)
