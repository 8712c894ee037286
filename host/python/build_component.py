#!/usr/bin/env python3
"""Puts the released component into the package, so that a wheel has it: `python build_component.py [COFRE]`.

COFRE is the program; default: `cofre` of this checkout (target/release/cofre), else the one on the PATH.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Writes src/cofre/cofre.wasm."""
    built = HERE.parents[1] / "target/release/cofre"
    program = sys.argv[1] if len(sys.argv) > 1 else str(built) if built.exists() else shutil.which("cofre")
    if program is None:
        sys.exit(f"there is no program cofre: build it (cargo build --release), or name it: {sys.argv[0]} COFRE")
    target = HERE / "src/cofre/cofre.wasm"
    target.unlink(missing_ok=True)
    subprocess.run([program, "component", "--output", str(target)], check=True)
    # The package is installed for everybody.
    target.chmod(0o644)


if __name__ == "__main__":
    main()
