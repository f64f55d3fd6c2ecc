"""`drumjax evaluate`: how well held-out sounds come back through each network and through both."""

import argparse
import json
from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(
        prog="drumjax evaluate",
        description="Mel spectral convergence (NDM eq. 11; 0 is perfect, 1 is what silence scores) "
        "of the validation sounds: through the CWAE alone, through the MCNN from true mels, and "
        "through both in a row.",
    )
    p.add_argument(
        "--cwae", required=True, metavar="DIR", help="work directory of the trained CWAE"
    )
    p.add_argument(
        "--mcnn", required=True, metavar="DIR", help="work directory of the trained MCNN"
    )
    p.add_argument("--data", required=True, metavar="DIR", help="what `drumjax prepare` made")
    p.add_argument("--split", choices=("validation", "train"), default="validation")
    p.add_argument(
        "--checkpoint", choices=("best", "latest"), default="best", help="which one to load (best)"
    )
    p.add_argument("--output", metavar="DIR", help="also write report.json and report.md there")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    from drumjax.audio.files import make_folder
    from drumjax.data.source import load_source
    from drumjax.errors import DataError
    from drumjax.evals.load import load_pair
    from drumjax.evals.reconstruction import as_markdown, evaluate_chain

    source = load_source(args.data, args.split)
    encoder, vocoder = load_pair(args.cwae, args.mcnn, args.checkpoint)
    if source.categories != encoder.config.categories:
        raise DataError(
            f"{args.data} has other categories than the networks were trained on "
            f"({', '.join(encoder.config.categories)}); prepare it with the same ones."
        )
    table = evaluate_chain(encoder, vocoder, source)
    text = as_markdown(table, source)
    print(text)
    if args.output:
        output = make_folder(args.output)
        (output / "report.json").write_text(json.dumps(table, indent=2) + "\n")
        (output / "report.md").write_text(text + "\n")
    return 0
