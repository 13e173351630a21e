"""The page as a reader gets it: whole, self-contained, accessible, honest about what is missing."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_blocks import Entry, give_chapters
from report_runs import made_run

from PRRTPredictorCore.cli import main
from PRRTPredictorCore.errors import Cancelled, Code, CohortRefused, InputRefused, ModelRefused
from PRRTPredictorCore.records import RESEARCH_USE_NOTICE
from PRRTPredictorCore.report import html
from PRRTPredictorCore.report.chapter import Cards, Chapter, Folded, Numbers, Plate, Table, Words
from PRRTPredictorCore.report.chapters import CHAPTERS
from PRRTPredictorCore.report.chapters.provenance import flattened
from PRRTPredictorCore.report.content import RunContent, read_content, richest_pair
from PRRTPredictorCore.report.html import write_report
from PRRTPredictorCore.report.page import hold_together
from PRRTPredictorCore.report.publish import set_columns
from PRRTPredictorCore.report.request import ReportRequest
from PRRTPredictorCore.report.style import new_figure
from PRRTPredictorCore.training.store import RunStore


class Page(HTMLParser):
    """Collects what the tests ask about."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(self.source)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def document(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return content


def blocks(of: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [inner for block in of for inner in ([block] if block["kind"] != "folded" else blocks(block["blocks"]))]


def all_blocks(run: Path) -> list[dict[str, Any]]:
    return [block for chapter in document(run)["chapters"] for block in blocks(chapter["blocks"])]


# --- the report of a run ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("whole") / "run", collapsed={("pet", 0, 1)})


@pytest.fixture(scope="module")
def page(whole: Path) -> Page:
    return Page(write_report(whole))


def test_every_chapter_has_its_module() -> None:
    folder = Path(html.__file__).parent / "chapters"
    assert {entry.key for entry in CHAPTERS} <= {path.stem for path in folder.glob("*.py")}


def test_numbers_figures_and_page_lie_in_the_run(whole: Path, page: Page) -> None:
    assert page.source.startswith("<!DOCTYPE html>")
    for name in ("metrics.json", "significance.json", "report.html"):
        assert (whole / name).is_file()
    expected = set()
    for block in all_blocks(whole):
        if block["kind"] == "plate":
            expected |= {f"figures/{block['key']}.{kind}" for kind in ("svg", "png")}
            expected |= {f"figures/{block['key']}.csv"} if block["numbers"] else set()
        if block["kind"] == "table":
            expected.add(f"tables/{block['key']}.csv")
    there = {f"{path.parent.name}/{path.name}" for name in ("figures", "tables") for path in (whole / name).iterdir()}
    assert there == expected == set(document(whole)["files"])
    assert {"figures/performance.csv", "tables/results.csv", "tables/patients.csv"} <= there


def test_figures_and_tables_are_numbered_through(whole: Path, page: Page) -> None:
    for kind in ("plate", "table"):
        numbers = [block["number"] for block in all_blocks(whole) if block["kind"] == kind]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 4
    shown = [int(number) for number in re.findall(r"<h3>Figure (\d+)\. ", page.source)]
    assert shown == list(range(1, len(shown) + 1))
    assert [int(number) for number in re.findall(r"<caption><span>Table (\d+)\. ", page.source)][-1] == len(
        page.having("table")
    )


def test_every_csv_file_is_a_table(whole: Path, page: Page) -> None:
    files = sorted(whole.glob("*/*.csv"))
    assert len(files) > 8
    for path in files:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
        assert len(rows) > 1, path.name
        assert {len(row) for row in rows} == {len(rows[0])}, path.name
        assert "nan" not in {cell.lower() for row in rows for cell in row}, path.name


def test_the_page_asks_nothing_of_the_network(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object"}
        for name in ("src", "href", "xlink:href", "action"):
            target = attributes.get(name) or ""
            assert target == "" or target.startswith(("#", "data:")), f"{tag} {name}={target}"
    assert "@import" not in page.source
    assert re.findall(r"url\((?!#)", page.source) == []
    assert "default-src 'none'" in page.source


def test_the_notice_stands_at_top_and_bottom_and_made_patients_are_named(page: Page) -> None:
    assert page.text.count(RESEARCH_USE_NOTICE) == 2
    assert page.text.index(RESEARCH_USE_NOTICE) < page.text.index("In brief")
    assert page.text.rindex(RESEARCH_USE_NOTICE) > page.text.index("Configuration of the run")
    assert page.text.index("SYNTHETIC") < page.text.index("In brief")
    assert page.text.rindex("SYNTHETIC") > page.text.index("Configuration of the run")
    printed = page.source[page.source.index("@page") :]
    assert f'content: "{RESEARCH_USE_NOTICE} SYNTHETIC patients."' in printed


def test_a_screen_reader_finds_its_way(whole: Path, page: Page) -> None:
    assert {"lang": "en"} in page.having("html")
    assert len(page.having("main")) == len(page.having("header")) == len(page.having("footer")) == 1
    assert all("aria-label" in attributes for attributes in page.having("nav"))
    drawn = [attributes.get("aria-label") or "" for attributes in page.having("svg")]
    drawn += [attributes.get("alt") or "" for attributes in page.having("img")]
    assert len(drawn) == sum(block["kind"] == "plate" for block in all_blocks(whole))
    assert all(len(words) > 40 for words in drawn)
    assert all(attributes.get("role") == "img" for attributes in page.having("svg"))
    assert all("scope" in attributes for attributes in page.having("th"))
    assert len(page.having("caption")) == len(page.having("table"))
    names = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert [name for name, count in names.items() if count > 1] == []
    anchors = {(attributes.get("href") or "")[1:] for attributes in page.having("a")}
    assert anchors <= set(names)
    assert {chapter["key"] for chapter in document(whole)["chapters"] if chapter["blocks"]} <= anchors


def test_it_says_what_was_done_and_how_sure_one_may_be(page: Page) -> None:
    for words in (
        "patient-level paired permutation",
        "Paper protocol",
        "Collapsed fits",
        "SR-PET: 0-1",
        "no evidence",
        "made phantoms (synthetic), organ segmentation",
        "ab12" * 16,
        "Log-rank",
        "Brier",
    ):
        assert words.lower() in page.text.lower(), words


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("p = 0.045", "p~=~0.045"),
        ("(p < 0.001), n = 58", "(p~<~0.001), n~=~58"),
        ("corrected t = 0.13", "corrected t~=~0.13"),
        ("the 95 % interval", "the 95~% interval"),
        ("step = 3, p of it", "step = 3, p of it"),
    ],
)
def test_a_number_is_never_torn_from_what_it_belongs_to(text: str, held: str) -> None:
    assert hold_together(text) == held.replace("~", "\u00a0")


def test_settings_are_printed_as_what_they_are() -> None:
    values = {"network": {"mlp_widths": [16, 8], "ct_levels": [-0.4, 2.0]}, "hu_window": (-200.0, 300.0), "seed": None}
    assert flattened(values) == [
        ("network.mlp widths", "16 × 8"),
        ("network.ct levels", "−0.4; 2.0"),
        ("hu window", "−200.0; 300.0"),
        ("seed", "–"),
    ]


def test_what_identifies_data_models_and_software_is_told(whole: Path, page: Page) -> None:
    from PRRTPredictorCore import __version__

    told = document(whole)["provenance"]
    assert told["version"] == __version__
    assert told["data_sha256"] == "ab12" * 16
    hashes = told["weights_sha256"]
    assert set(hashes) == set(RunStore(whole).manifest.models)
    assert all(re.fullmatch("[0-9a-f]{64}", found) and found in page.text for found in hashes.values())
    assert told["reported_with"]["scipy"]


def test_other_weights_have_another_hash(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", models=("pet",), patients=14, repeats=1)
    store = RunStore(run)
    before = store.weights_sha256("pet")
    path = store.fold_folder("pet", 0, 1) / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert store.weights_sha256("pet") != before
    path.unlink()
    with pytest.raises(ModelRefused):
        store.weights_sha256("pet")


def test_single_patients_are_named_in_the_saliency_chapter_alone(whole: Path, page: Page) -> None:
    told = [
        {**block, "numbers": None}  # these may list every patient under the study code
        for chapter in document(whole)["chapters"]
        if chapter["key"] != "saliency"
        for block in blocks(chapter["blocks"])
    ]
    assert len(told) > 20
    assert re.findall(r"P-[0-9a-f]{10}", json.dumps(told)) == []
    assert str(whole) not in (whole / "report.json").read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_page(whole: Path, page: Page) -> None:
    before = {name: (whole / name).read_bytes() for name in ("metrics.json", "report.json")}
    assert write_report(whole).read_text(encoding="utf-8") == page.source
    assert {name: (whole / name).read_bytes() for name in before} == before


def test_a_partial_run_says_what_is_missing(tmp_path: Path) -> None:
    run = made_run(
        tmp_path / "run",
        models=("pet", "pet_labs", "ct"),
        patients=14,
        repeats=1,
        unfinished={("pet", 0, 1), ("ct", 0, 0), ("ct", 0, 1), ("ct", 0, 2)},
        synthetic=False,
    )
    page = Page(write_report(run))
    assert "SR-PET: 1 of 3 fits are not finished" in page.text
    assert "CT: 3 of 3 fits are not finished" in page.text
    assert "Not part of this run: Random forest (labs)" in page.text
    assert "SYNTHETIC" not in page.text
    assert "nan" not in page.text.lower().split()


def test_a_run_without_images_or_networks(tmp_path: Path) -> None:
    page = Page(write_report(made_run(tmp_path / "run", models=("rf_labs",), patients=20)))
    assert "none in this run" in page.text
    assert "results of 1 model from blood values" in page.text
    assert "nan" not in page.text.lower().split()
    assert document(tmp_path / "run")["compared"] == []


def test_everyone_in_one_predicted_group(tmp_path: Path) -> None:
    run = made_run(
        tmp_path / "run", models=("pet",), patients=18, collapsed={("pet", r, f) for r in (0, 1) for f in range(3)}
    )
    page = Page(write_report(run))
    assert "one group" in page.text
    assert "no evidence that it does better than chance" in page.text
    assert "results of 1 model from SR-PET" in page.text
    assert "the same answer but for traces of rounding" in page.text


def test_foreign_words_cannot_become_mark_up(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", models=("pet",), patients=14)
    text = (run / "cohort.json").read_text(encoding="utf-8")
    (run / "cohort.json").write_text(text.replace("GE Discovery MI", "<script>alert(1)</script>"), encoding="utf-8")
    page = Page(write_report(run))
    assert page.having("script") == []
    assert "<script>alert(1)</script>" in page.text


# --- requests ---------------------------------------------------------------------------------------------------------


def test_no_run_and_no_fold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused) as missing:
        write_report(tmp_path)
    assert missing.value.code is Code.PATH_MISSING
    empty = {("pet", 0, fold) for fold in range(3)}
    run = made_run(tmp_path / "run", models=("pet",), patients=14, repeats=1, unfinished=empty)
    with pytest.raises(ModelRefused) as unfinished:
        write_report(run)
    assert unfinished.value.code is Code.RUN_INCOMPLETE
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ReportRequest(compare=("pet", "ct")), "no model named “ct”"),
        (ReportRequest(compare=("pet", "pet_labs")), "no model named “pet_labs”"),
        (ReportRequest(compare=("pet", "pet")), "compared with itself"),
        (ReportRequest(patients=("P-ffffffffff",)), "no patient named “P-ffffffffff”"),
        (ReportRequest(without=frozenset({"poems"})), "no chapter named “poems”"),
    ],
    ids=["model of another run", "unfinished model", "itself", "patient", "chapter"],
)
def test_what_the_run_does_not_hold_is_refused_before_any_work(
    tmp_path: Path, request_: ReportRequest, words: str
) -> None:
    unfinished = {("pet_labs", 0, fold) for fold in range(3)}
    run = made_run(tmp_path / "run", models=("pet", "pet_labs"), patients=14, repeats=1, unfinished=unfinished)
    with pytest.raises(InputRefused, match=words) as refused:
        write_report(run, request_)
    assert refused.value.code is Code.NOT_IN_RUN
    assert refused.value.remedy
    assert not (run / "metrics.json").exists()


def test_a_cohort_of_other_patients_is_refused_before_any_work(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", models=("pet",), patients=14, repeats=1)
    with pytest.raises(CohortRefused):
        write_report(run, ReportRequest(cohort=tmp_path / "nothing.csv"))
    assert not (run / "metrics.json").exists()


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (("rf_labs", "pet", "pet_labs", "pet_ct_labs"), ("pet_labs", "pet")),
        (("pet", "pet_ct_labs", "pet_ct_labs_pretrained"), ("pet_ct_labs_pretrained", "pet_ct_labs")),
        (("ct", "ct_labs", "pet"), ("ct_labs", "ct")),
        (("pet", "ct"), None),
        (("rf_labs", "pet"), None),
    ],
)
def test_two_models_are_chosen_for_comparison(
    tmp_path: Path, names: tuple[str, ...], pair: tuple[str, str] | None
) -> None:
    content = read_content(made_run(tmp_path / "run", models=names, patients=14, repeats=1))
    assert content.pair == pair
    if pair != ("pet_labs", "pet"):
        assert richest_pair(names) == pair


def test_the_reader_chooses_the_two_models_and_their_order(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", models=("rf_labs", "pet", "pet_labs"), patients=14, repeats=1)
    asked = ("rf_labs", "pet")
    assert read_content(run, ReportRequest(compare=asked)).pair == asked


@pytest.mark.parametrize(
    "words", [["--compare", "pet"], ["--compare", "pet", "mri"], ["--without", "poems"], ["--saliency", "guess"]]
)
def test_a_misspelt_request_is_wrong_usage(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as usage:
        main(["report", str(tmp_path), *words])
    assert usage.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_the_command_line_hands_every_wish_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_run(tmp_path / "run", models=("pet", "pet_labs"), patients=14, repeats=1)
    asked: list[ReportRequest] = []

    def make(content: RunContent) -> Chapter:
        asked.append(content.request)
        return Chapter("brief", "In brief", (Words(("Hello",)),))

    give_chapters(monkeypatch, Entry("brief", make))
    code = RunStore(run).cohort.cohort.patients[0].code
    words = ["--compare", "pet", "pet_labs", "--patients", code, "--saliency", "gradient", "smoothgrad", "--json"]
    assert main(["report", str(run), *words, "--without", "saliency"]) == 0
    wish = ReportRequest(("pet", "pet_labs"), (code,), ("gradient", "smoothgrad"), None, frozenset({"saliency"}))
    assert asked == [wish]
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"report": str(run / "report.html"), "numbers": str(run / "report.json")}


# --- the frame, with chapters made for it -----------------------------------------------------------------------------


Maker = Callable[[RunContent], Chapter | None]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return made_run(tmp_path / "run", models=("pet",), patients=14, repeats=1)


def plate(key: str, *, photograph: bool = False) -> Plate:
    figure = new_figure(3, 2)
    figure.subplots().plot([0, 1])
    numbers = None if photograph else Numbers(("x", "y"), ((0, 0.1), (1, None)))
    return Plate(key, f"Plate {key}", "Something to see, in words that suffice", "Text", figure, numbers, photograph)


def table(key: str) -> Table:
    return Table(key, f"Table {key}", ("", "n"), (("=HYPERLINK(1)", "1"), ("-3", "@x")))


def test_blocks_of_every_kind_are_placed_and_numbered(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(content: RunContent) -> Chapter:
        folded = Folded("More", (plate("b"), table("t1"), Words(("Inside.",))))
        return Chapter("first", "The first", (Cards((("Name", "7", "small"),)), plate("a"), folded))

    def second(content: RunContent) -> Chapter:
        words = Words(("One", "Two"), heading="List", listed=True)
        return Chapter("second", "The second", (words, plate("c", photograph=True), table("t2")))

    give_chapters(monkeypatch, Entry("first", first), Entry("second", second), Entry("none", lambda content: None))
    page = Page(write_report(small))
    assert re.findall(r"<h3>Figure (\d)\. Plate (\w)<", page.source) == [("1", "a"), ("2", "b"), ("3", "c")]
    assert re.findall(r"Table (\d)\. Table (\w\d)<", page.source) == [("1", "t1"), ("2", "t2")]
    assert [attributes["alt"] for attributes in page.having("img")] == ["Something to see, in words that suffice"]
    assert "#none" not in page.source
    assert (small / "figures" / "c.png").is_file()
    assert not (small / "figures" / "c.csv").exists()
    assert (small / "figures" / "a.csv").read_text(encoding="utf-8") == "x,y\n0,0.1\n1,\n"


def test_a_cell_is_never_a_formula(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_chapters(monkeypatch, Entry("one", lambda content: Chapter("one", "One", (table("t"),))))
    write_report(small)
    assert (small / "tables" / "t.csv").read_text(encoding="utf-8") == "row,n\n'=HYPERLINK(1),1\n-3,'@x\n"


def test_files_of_an_earlier_report_do_not_stay_and_others_do(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_chapters(monkeypatch, Entry("one", lambda content: Chapter("one", "One", (plate("old"), table("t")))))
    write_report(small)
    own = small / "figures" / "notes.txt"
    own.write_text("mine", encoding="utf-8")
    give_chapters(monkeypatch, Entry("one", lambda content: Chapter("one", "One", (plate("new"),))))
    write_report(small)
    assert {path.name for path in own.parent.iterdir()} == {"new.svg", "new.png", "new.csv", "notes.txt"}
    assert list((small / "tables").iterdir()) == []
    listed = document(small) | {"files": ["../manifest.json", "manifest.json", "figures/../cohort.json"]}
    (small / "report.json").write_text(json.dumps(listed), encoding="utf-8")
    write_report(small)
    assert (small / "manifest.json").is_file()
    assert (small / "cohort.json").is_file()


def test_a_failing_report_leaves_the_earlier_one(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_chapters(monkeypatch, Entry("one", lambda content: Chapter("one", "One", (plate("a"),))))
    before = write_report(small).read_bytes()

    def broken(content: RunContent) -> Chapter:
        raise ValueError("a fault of ours")

    give_chapters(monkeypatch, Entry("one", lambda content: Chapter("one", "One", (plate("z"),))), Entry("two", broken))
    with pytest.raises(ValueError, match="a fault of ours"):
        write_report(small)
    assert (small / "report.html").read_bytes() == before
    assert not (small / "figures" / "z.png").exists()


def test_damage_costs_its_chapter_alone(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(content: RunContent) -> Chapter:
        content.store.gradients("pet", 0, 1)
        raise AssertionError("the damage went unseen")

    path = RunStore(small).fold_folder("pet", 0, 1) / "gradients.npz"
    path.write_bytes(path.read_bytes()[:50])
    whole = Entry("brief", lambda content: Chapter("brief", "One", (plate("a"),), ("Something lacks here.",)))
    give_chapters(monkeypatch, whole, Entry("gradients", damaged))
    page = Page(write_report(small))
    assert "gradients.npz of fold 0-1 of “pet” is missing, damaged or of another version" in page.text
    assert page.text.index("What is missing") < page.text.index("Remove that fold's folder")
    assert "Something lacks here." in page.text
    assert 'href="#gradients"' not in page.source
    assert [chapter["key"] for chapter in document(small)["chapters"]] == ["brief", "gradients"]


@pytest.mark.parametrize("problem", [CohortRefused(Code.RUN_MISMATCH, "other"), Cancelled(Code.CANCELLED, "stop")])
def test_what_the_reader_named_or_wished_is_not_swallowed(
    small: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def refusing(content: RunContent) -> Chapter:
        raise problem

    give_chapters(monkeypatch, Entry("one", refusing))
    with pytest.raises(type(problem)):
        write_report(small)


def test_two_blocks_of_one_name_are_a_fault(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_chapters(monkeypatch, Entry("one", lambda content: Chapter("one", "One", (plate("a"), plate("a")))))
    with pytest.raises(ValueError, match="same key"):
        write_report(small)


def test_progress_is_told_in_steps_and_inside_of_them(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(content: RunContent) -> Chapter:
        for done in range(5):
            content.progress("saliency", done, 4, f"patient {done}")
        return Chapter("slow", "Slow")

    give_chapters(monkeypatch, Entry("one", lambda content: None), Entry("slow", slow, weight=8))
    told: list[tuple[str, int, int, str]] = []
    write_report(small, progress=lambda stage, done, total, message="": told.append((stage, done, total, message)))
    assert {stage for stage, _, _, _ in told} == {"report"}
    assert told[0][1] == 0
    assert told[-1][1] == told[-1][2]
    done = [one[1] for one in told]
    assert done == sorted(done)
    assert len({one[1] for one in told if one[3].startswith("Slow")}) == 5
    assert "Slow 2/4: patient 2" in {one[3] for one in told}


def test_progress_never_goes_back_when_a_chapter_loops_twice(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loops(content: RunContent) -> Chapter:
        for stage in ("maps", "organs", "organs"):
            for done in range(5):
                content.progress(stage, done, 4)
        return Chapter("loops", "Loops")

    give_chapters(monkeypatch, Entry("loops", loops, weight=20), Entry("last", lambda content: None))
    told: list[int] = []
    write_report(small, progress=lambda stage, done, total, message="": told.append(done))
    assert told == sorted(told)
    inside = told[2:-3]  # between the numbers and the last chapter, the page and the end
    assert len(inside) == 15
    assert inside[4] < inside[9] < inside[14] < told[-3]


def test_chapters_can_be_left_out(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(content: RunContent) -> Chapter:
        raise AssertionError("was to be left out")

    kept = Entry("brief", lambda content: Chapter("brief", "One", (plate("a"),)))
    give_chapters(monkeypatch, kept, Entry("saliency", never))
    write_report(small, ReportRequest(without=frozenset({"saliency"})))
    assert [chapter["key"] for chapter in document(small)["chapters"]] == ["brief"]


def test_columns_are_set_by_what_they_hold() -> None:
    rows = (("a", "0.5 [0.1, 0.9]", "no evidence", "A sentence that is longer than any cell of numbers would be."),)
    assert set_columns(Table("t", "T", ("", "n", "w", "s"), (("Section",), *rows))) == (
        "text",
        "number",
        "text",
        "prose",
    )
