#!/usr/bin/env python3
"""Install the model the manifest names before the system starts; an installed one is kept."""
import argparse
import os
import subprocess
import sys

VV_EVAL = os.environ.get("VV_EVAL", "vv-eval")
given = sys.argv[1:]
code = subprocess.run([VV_EVAL, "model", "install", "--wait", "60", *given]).returncode
if code != 0:
    # Whatever failed, what was installed is untouched: start with it if there is one, in the
    # directory the installation was about. What follows --notify-cmd belongs to that command.
    ours = given[: given.index("--notify-cmd")] if "--notify-cmd" in given else given
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--models-dir")
    models = parser.parse_known_args(ours)[0].models_dir
    verify = [VV_EVAL, "model", "verify", *(["--models-dir", models] if models else [])]
    code = 0 if subprocess.run(verify).returncode == 0 else code
sys.exit(code)
