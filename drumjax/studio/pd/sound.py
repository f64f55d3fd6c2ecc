"""What the Pure Data client does with a sound: loads it, says so, plays it."""

from drumjax.studio.pd.canvas import Canvas

LINES = 3  # of the status
_LETTERS = 104  # in a line of the status
_RAMP = 2  # milliseconds: the end of what is played, and its start where it is cut
_UNREADABLE = "%s cannot be read".replace(" ", "\\ ")


def sample() -> Canvas:
    """Loads the file that the server has written into the table `$0-sound`.

    Tells other patches `sound TABLE FRAMES RATE MILLISECONDS CATEGORY PATH`.
    """
    c = Canvas("sample", 900, 500)
    heard = c.chain("[r $0-sample]", "[unpack s s f]")
    path = c.chain(heard, "[t s s s s]")
    category = c.chain(heard.out(1), "[t s s]")
    length = c.chain(heard.out(2), "[t f f]")
    words = "[list prepend read -resize]", "[list append $0-sound]", "[list trim]"
    read = c.chain(path, *words, "[soundfiler]")
    rate = c.chain(read.out(1), "[unpack f]", "[t f f]")
    frames = c.chain(read, "[moses 1]")
    loaded = c.chain(frames.out(1), "[t b f f]")
    auto, told = c.add("[f 1]"), c.add("[pack f f f s s]")
    c.chain(path.out(1), "[s $0-status]")
    c.chain(path.out(2), told.at(4))
    c.chain(category, "[s $0-category-heard]")
    c.chain(category.out(1), told.at(3))
    c.chain(length, "[makefilename %d\\ ms]", "[label $1(", "[s $0-length]")
    c.chain(length.out(1), told.at(2))
    c.chain(rate, "[s $0-rate]")
    c.chain(rate.out(1), told.at(1))
    c.chain(loaded.out(2), "[s $0-frames]")
    c.chain(loaded.out(1), told, "[list prepend sound $0-sound]", "[list trim]", "[s $0-tell]")
    c.chain("[r $0-auto]", auto.at(1))
    c.chain(loaded, auto, "[sel 1]", "[s $0-play]")
    missing = c.chain(frames, "[t b]", "[symbol]")
    c.chain(path.out(3), missing.at(1))
    c.chain(missing, f"[makefilename {_UNREADABLE}]", "[s $0-error]")
    return c


def player() -> Canvas:
    """Plays the table between the crop's ends, at its file's rate whatever the device's is.

    `$0-play` takes a bang, or how loud, 0 to 1. Its outlet is the sound at the face's volume.
    """
    c = Canvas("player", 900, 600)
    struck = c.chain("[r $0-play]", "[route bang]")
    loud = c.chain(struck.out(1), "[t f b]")
    c.chain(struck, "[1(", loud)
    frames = c.add("[f]")
    c.chain("[r $0-frames]", frames.at(1))
    end = "max($f3, $f2 + 0.01)"  # at least a hundredth is played
    times = f"$f1*$f2; $f1*{end}; $f1*({end} - $f2)*1000/max($f4, 1); {_RAMP}*($f2 > 0)"
    part = c.chain(loud.out(1), frames, f"[expr {times}]")
    for inlet, name in enumerate(("start", "end", "rate"), 1):
        c.chain(f"[r $0-{name}]", part.at(inlet))
    place, gain = c.add("[pack f f f]"), c.add("[pack f f f]")
    c.chain(part.out(3), gain.at(1))
    time = c.chain(part.out(2), "[t f f]")
    c.chain(time.out(1), place.at(2))
    c.chain(time, f"[- {_RAMP}]", "[max 0]", gain.at(2))
    c.chain(part.out(1), place.at(1))
    c.chain(part, place)
    c.chain(loud, gain)
    read = c.chain(place, "[$1, $2 $3(", "[vline~]", "[tabread4~ $0-sound]", "[*~]")
    c.chain(gain, f"[0, $1 $2, 0 {_RAMP} $3(", "[vline~]", read.at(1))
    volume = c.chain("[r $0-volume]", "[+ 100]", "[dbtorms]", "[pack f 20]", "[line~]")
    sound = c.chain(read, "[*~]")
    c.chain(volume, sound.at(1))
    c.chain(sound, "[outlet~]")
    speakers = c.chain(sound, "[*~]")
    c.chain("[r $0-speakers]", "[pack f 20]", "[line~]", speakers.at(1))
    device = c.chain(speakers, "[dac~]")
    c.chain(speakers, device.at(1))
    return c


def device() -> Canvas:
    """Pure Data's own switch of all audio, which may be moved elsewhere, too."""
    c = Canvas("device", 400, 200)
    c.chain("[r $0-audio]", "[; pd dsp $1(")
    c.chain("[r pd-dsp-started]", "[set 1(", "[s $0-audio-set]")
    c.chain("[r pd-dsp-stopped]", "[set 0(", "[s $0-audio-set]")
    return c


def midi() -> Canvas:
    """A MIDI note, or the one that the face names, plays the sound by its velocity."""
    c = Canvas("midi", 400, 300)
    note = c.add("[notein]")
    struck = c.chain(note, "[stripnote]")
    c.chain(note.out(1), struck.at(1))
    ours = c.chain(struck, "[expr $f2 == 0 || $f1 == $f2]")
    c.chain("[r $0-note]", ours.at(1))
    loud = c.chain(ours, "[sel 1]", "[f]")
    c.chain(struck.out(1), "[/ 127]", loud.at(1))
    c.chain(loud, "[s $0-play]")
    return c


def status() -> Canvas:
    """Shows sentences in a few lines; its outlet is all that other patches are told.

    Tells them `status SENTENCE` and `error SENTENCE`.
    """
    c = Canvas("status", 700, 500)
    outlet = c.chain("[r $0-tell]", "[outlet]")
    shown = c.add("[t s b]")
    for kind in ("status", "error"):
        sentence = c.chain(f"[r $0-{kind}]", "[t s s]")
        c.chain(sentence, shown)
        c.chain(sentence.out(1), f"[list prepend {kind}]", "[list trim]", outlet)
    rest = c.chain(shown, "[list fromsymbol]")
    cleared = c.chain(shown.out(1), "[label empty(")
    for line in range(1, LINES + 1):
        split = c.chain(rest, f"[list split {_LETTERS}]")
        text = c.chain(split, "[list tosymbol]")
        c.chain(split.out(2), text)
        to = c.chain(text, "[label $1(", f"[s $0-status-{line}]")
        if line > 1:
            c.chain(cleared, to)
        rest = split.out(1)
    return c
