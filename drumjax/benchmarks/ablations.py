"""What launch/ablations.sh calls: `python -m drumjax.benchmarks.ablations {list,measure,table}`."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drumjax.errors import CheckpointError, DrumjaxError

RESULT = "ablation.json"  # in a row's folder, once it is done


def parser() -> argparse.ArgumentParser:
    """The flags."""
    p = argparse.ArgumentParser(prog="python -m drumjax.benchmarks.ablations", description=__doc__)
    kinds = p.add_subparsers(dest="what", required=True)
    rows = kinds.add_parser("list", help="one line a row: model, name, variant, trained as")
    rows.add_argument("--base", default="small", help="variant that the changes are made to")
    measure = kinds.add_parser("measure", help="judge one trained row on the held-out sounds")
    measure.add_argument("model")
    measure.add_argument("name")
    measure.add_argument("--workdir", required=True, help="of the training run")
    measure.add_argument("--data", required=True, help="what `drumjax prepare --output` made")
    measure.add_argument("--output", required=True, help="folder of the row's result")
    table = kinds.add_parser("table", help="print all results as Markdown")
    table.add_argument("folders", nargs="+", help="of the rows, MODEL/NAME at their end")
    return p


def measure(model: str, name: str, workdir: Path, data: str) -> dict[str, Any]:
    """Load a row's last checkpoint and judge it on the validation sounds."""
    from drumjax.data.source import load_source
    from drumjax.evals import ablations
    from drumjax.evals.load import load_network

    row, source = ablations.find_row(model, name), load_source(data, "validation")
    network = load_network(str(workdir), (model,), "latest")
    if network.config.categories != source.categories:
        raise CheckpointError(f"{workdir} was trained on other categories than {data} holds.")
    if model != "mcnn":
        log = workdir / "metrics.jsonl"
        found = ablations.measure_wae(network.config, network.variables, source, log)
    else:
        config = network.config
        if row.trained_as:  # trained without this row's change, which is one of generation
            config = dataclasses.replace(config, mask=row.changes.removesuffix("_mask"))
        found = ablations.measure_mcnn(config, network.variables, source)
    about = {"sounds": len(source.names), "kits": len(set(source.kits))}
    return {"steps": network.about["steps"], **about, **found}


def table(folders: Sequence[str]) -> str:
    """The Markdown of all rows that are done."""
    from drumjax.evals import ablations

    results = {}
    for folder in map(Path, folders):
        if (folder / RESULT).is_file():
            results[folder.parent.name, folder.name] = json.loads((folder / RESULT).read_text())
    return ablations.as_markdown(results, ablations.ROWS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the three; returns the exit status."""
    args = parser().parse_args(argv)
    try:
        if args.what == "list":
            from drumjax.evals.ablations import ROWS, variant

            for row in ROWS:
                print(row.model, row.name, variant(row, args.base), row.trained_as or row.name)
        elif args.what == "table":
            print(table(args.folders))
        else:
            found = measure(args.model, args.name, Path(args.workdir), args.data)
            folder = Path(args.output)
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{RESULT}.part"
            part.write_text(json.dumps(found, indent=2) + "\n")
            part.replace(folder / RESULT)
    except (DrumjaxError, OSError, ValueError) as error:
        print(f"ablations: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
