"""Where things stand on the studio's page at every size, and what its dialogs and states do."""

import time

import pytest
from studio_page import STATUS, downloaded, drop, focus, wav

LONG = "SNARE Deep Vintage 909 Layer 01.wav"
SIZES = [(1280, 800), (1024, 640), (390, 844), (320, 640)]

# What sticks out of its panel or of the bar, and what is too small to be hit or read.
ASTRAY = """[...document.querySelectorAll('.panel, .bar')].flatMap((panel) => {
    const outer = panel.getBoundingClientRect();
    return [...panel.querySelectorAll('*')]
        .filter((e) => e.checkVisibility() && !e.closest('.hidden, .handle, .space, .shade'))
        .map((e) => [e, e.getBoundingClientRect()])
        .filter(([e, box]) => box.left < outer.left || box.right > outer.right
            || box.top < outer.top - 0.5 || box.bottom > outer.bottom + 0.5
            || (e.matches('button:not(.cell)') && box.width < 24)
            || (e.matches('select, h2, .cell') && box.width < 15))
        .map(([e, box]) => [e.tagName, e.id, e.className, box.left, box.right, box.width]);
})"""


def resize(page, width, height):
    page.size(width, height)
    page.until(f"innerWidth === {width} && innerHeight === {height}")


def box(page, selector):
    """An element's left, top, right and bottom edges."""
    return page.run(
        f"(({{ left, top, right, bottom }}) => [left, top, right, bottom])"
        f"(document.querySelector({selector!r}).getBoundingClientRect())"
    )


# A file with a long name


@pytest.fixture
def named(page):
    """The page with a file of a long name on the selected pad."""
    page.tops = {}
    for size in SIZES:
        resize(page, *size)
        page.tops[size] = box(page, ".desk")[1]
    resize(page, 1280, 800)
    drop(page, ".padcell:nth-child(2)", LONG, wav())
    page.until(f"{STATUS}.startsWith('{LONG} is on pad 2')")
    return page


def test_a_long_name_leaves_room_at_every_size(named):
    for width, height in SIZES:
        resize(named, width, height)
        left, top, right, bottom = box(named, "#amount")
        panel = box(named, ".control")
        assert right - left >= 60
        assert panel[0] < left < right < panel[2]
        assert panel[1] < top < bottom < panel[3]
        left, _, right, _ = box(named, "#file-name")
        assert right - left >= 100
        left, _, right, _ = box(named, "#name")
        assert right - left >= 60
        assert named.run(ASTRAY) == [], width
        assert named.run("document.documentElement.scrollWidth") == width
        if width >= 980:
            assert named.run("document.documentElement.scrollHeight") == height


def test_a_long_message_moves_nothing(named):
    for size in SIZES:
        resize(named, *size)
        assert named.run(f"{STATUS}.length") > 50
        assert box(named, ".desk")[1] == named.tops[size], size
        for selector in ("#took", "#status"):
            _, top, _, bottom = box(named, selector)
            assert 10 < bottom - top < 25, selector  # one line of 17


def test_a_variation_slider_beside_a_long_name_is_usable(named):
    for size in SIZES:
        resize(named, *size)
        for to in (0.25, 0.75):
            named.click("#amount", to)
            value = float(named.run("document.querySelector('#amount').value"))
            assert abs(value - to) < 0.1, size


@pytest.mark.parametrize("width", [320, 360, 520, 700, 979, 980])
def test_nothing_sticks_out(page, width):
    resize(page, width, 640)
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run(ASTRAY) == []


def test_an_error_is_read_whole(page):
    drop(page, ".padcell:nth-child(2)", "x" * 60 + ".wav", b"no sound")
    page.until("document.querySelector('#status').dataset.kind === 'error'")
    assert page.errors.pop().startswith("Failed to load resource")  # the 400 itself
    cut = "((e) => e.scrollWidth > e.clientWidth)(document.querySelector('#status .text'))"
    for size in SIZES:
        resize(page, *size)
        assert not page.run(cut)
        assert page.run(ASTRAY) == []


# The kit's dialog


def test_enter_in_the_kits_name_downloads_it(page):
    page.click("#kit")
    page.run("document.querySelector('#kit-name').value = 'by_enter'")
    focus(page, "#kit-name")
    page.key("Enter")
    assert downloaded(page, "by_enter.zip")[:2] == b"PK"
    assert not page.run("document.querySelector('#kit-dialog').open")


def test_leaving_the_kits_dialog_repeats_no_choice(page):
    page.click("#kit")
    page.run("document.querySelector('#kit-name').value = 'once'")
    page.click("#kit-download")
    downloaded(page, "once.zip")
    page.run("0")  # its own request is read
    page.requests.clear()
    leaves = (
        lambda: page.run("document.querySelector('#kit-dialog').close()"),  # some browsers' Escape
        lambda: page.key("Escape"),
        lambda: page.click("#kit-dialog [value=cancel]"),
    )
    for leave in leaves:
        page.click("#kit")
        leave()
        page.until("!document.querySelector('#kit-dialog').open")
        time.sleep(0.2)
        page.run("0")
        assert page.requests == []


# States


def test_a_button_that_has_ended_looks_so_and_keeps_its_focus(page):
    page.mouse("Moved", *page.place("#clear"), held=False)
    look = """(() => {
        const button = document.querySelector('#clear');
        %s;
        for (const animation of button.getAnimations()) animation.finish();
        const { color, cursor, borderColor, backgroundColor } = getComputedStyle(button);
        return [color, cursor, borderColor, backgroundColor];
    })()"""
    focus(page, "#clear")
    usual = page.run(look % "")
    ended = page.run(look % "button.setAttribute('aria-disabled', 'true')")
    assert page.run("document.activeElement.id") == "clear"
    assert page.run(look % "button.removeAttribute('aria-disabled')") == usual
    assert page.run(look % "button.disabled = true") == ended
    assert all(a != b for a, b in zip(usual, ended, strict=True))


def test_without_javascript_the_page_says_so(page):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(page.run("location.href"))
        text = page.run("document.querySelector('noscript').textContent")
        height = page.run("document.querySelector('noscript p').offsetHeight")
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "JavaScript" in text
    assert height > 10
