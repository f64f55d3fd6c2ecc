"""The eleven drum categories of the Neural Drum Machine, in the order that every array uses."""

CATEGORIES = (
    "kick",
    "snare",
    "clap",
    "snap",
    "closed_hat",
    "open_hat",
    "tom",
    "conga",
    "bongo",
    "shaker",
    "tambourine",
)

# A hit of the key silences what still rings of the values.
CHOKES = {"closed_hat": ("open_hat",)}
