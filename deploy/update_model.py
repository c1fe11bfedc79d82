#!/usr/bin/env python3
"""Install the model the manifest names on a running system and restart its summarizer."""
import os
import subprocess
import sys

VV_EVAL = os.environ.get("VV_EVAL", "vv-eval")
RESTART = os.environ.get("VV_RESTART", "docker-compose restart scene_summarizer").split()
install = [VV_EVAL, "model", "install", "--wait", "60", *sys.argv[1:], "--notify-cmd", *RESTART]
sys.exit(subprocess.run(install).returncode)
