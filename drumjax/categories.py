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
