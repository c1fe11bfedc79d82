#!/usr/bin/env bash
# Judges the pull request whose files stand in this work tree, and tells the CI system what came of
# it. The exit code is the verdict's: 0 pass, 1 fail, 2 inconclusive, 3 invalid, 4 internal error.
#
#   BASE=origin/main scripts/gate.sh
#
# Environment:
#   BASE       revision of the branch the pull request goes to (required)
#   HEAD       revision of the pull request (default: the work tree)
#   MANIFEST   the manifest, from the top of the repository (default: model_manifest.json)
#   POLICY     the policy at BASE (default: gate.toml)
#   OUT        directory for the reports (default: reports/gate)
#   REPORT_LANG  language of the reports, en or pt-BR (default: en)
#   VV_EVAL    the program (default: vv-eval of the PATH)
set -uo pipefail

: "${BASE:?name the revision of the target branch, e.g. BASE=origin/main}"
out="${OUT:-reports/gate}"
arguments=(--base "$BASE" --manifest "${MANIFEST:-model_manifest.json}"
    --policy "${POLICY:-gate.toml}" --out "$out" --lang "${REPORT_LANG:-en}" --quiet)
if [ -n "${HEAD:-}" ]; then
    arguments+=(--head "$HEAD")
fi

# Nothing a model or a manifest says may become a command of the workflow log.
if [ -n "${GITHUB_ACTIONS:-}" ]; then
    token="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
    echo "::stop-commands::$token"
fi
# A report of an earlier run is none of this one; this script alone tells the system.
rm -f -- "$out/report.md" "$out/report.json" "$out/summary.md" "$out/junit.xml"
env -u GITHUB_OUTPUT -u GITHUB_STEP_SUMMARY \
    "${VV_EVAL:-vv-eval}" gate "${arguments[@]}" >/dev/null
code=$?
if [ -n "${GITHUB_ACTIONS:-}" ]; then
    echo "::$token::"
    # The verdict and its reasons beside the files changed; every text in them is escaped.
    if [ -s "$out/report.json" ]; then
        "${VV_EVAL:-vv-eval}" report "$out/report.json" --format github \
            --annotate "${MANIFEST:-model_manifest.json}" --lang "${REPORT_LANG:-en}" || true
    elif [ "$code" -ge 3 ]; then
        echo "::error title=vv-eval::this pull request could not be judged (exit $code); report.md says why"
    fi
fi

case "$code" in
    0) verdict=pass ;;
    1) verdict=fail ;;
    2) verdict=inconclusive ;;
    3) verdict=invalid ;;
    *) verdict=internal ;;
esac
report="$out/report.md"
if [ ! -s "$report" ]; then
    mkdir -p "$out"
    printf '**%s** · vv-eval ended with code %s and left no report; see the log of the job\n' \
        "$verdict" "$code" >"$report"
fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then
    printf 'verdict=%s\nexit-code=%s\nreport=%s\n' "$verdict" "$code" "$report" >>"$GITHUB_OUTPUT"
fi
# The summary shows more scenes than a comment has room for; without a run there is the comment.
summary="$out/summary.md"
if [ ! -s "$summary" ]; then
    summary="$report"
fi
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    head -c 1000000 "$summary" >>"$GITHUB_STEP_SUMMARY"
fi
printf 'verdict: %s (exit %s), report: %s\n' "$verdict" "$code" "$report"
exit "$code"
