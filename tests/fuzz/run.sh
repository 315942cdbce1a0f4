#!/bin/sh
# Runs every fuzz target for SECONDS each, and then until FUZZ_LEAST inputs were tried, within five times SECONDS and 20 more:
# fuzz_*.py under atheris, fuzz_*.c under libFuzzer with ASan and UBSan. As many at once as there are processors.
#
#   tests/fuzz/run.sh SECONDS [TARGET...]
#
# Prints for each how many inputs it tried, and after it those that are fewer than FUZZ_LEAST (default 100 000).
#
# A C target names what it is linked with in its first lines, paths from the project's root:
#   /* fuzz-sources: sentry_engine/native/prefixes/prefix_table.c sentry_engine/native/state/siphash.c */
#   /* fuzz-flags: -DWITH_TLS */
# Corpora are kept in .build/fuzz/corpus/TARGET, inputs that crash in .build/fuzz/crash-TARGET-*.
# Seeds that lie in tests/fuzz/seeds/TARGET are read and never written.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:?"usage: tests/fuzz/run.sh SECONDS [TARGET...]"}
shift
least=${FUZZ_LEAST:-100000}
python=$PWD/.venv/bin/python
build=.build/fuzz
mkdir -p "$build/corpus"

directive() { sed -n "1,12s|^/\* fuzz-$2: \(.*\) \*/\$|\1|p" "$1"; }

compile() {                              # compile SOURCE BINARY
    # shellcheck disable=SC2046  # lists of words
    clang -g -O1 -std=gnu11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -D_GNU_SOURCE \
        -I. -Isentry_engine/native -Ivpn_frontend/native -I"$(cat .build/wolfssl)/include" $(directive "$1" flags) \
        "$1" $(directive "$1" sources) -o "$2" -L"$(cat .build/wolfssl)/lib" -Wl,--as-needed -lwolfssl -lm -lpthread
}

count() {                                # count LOG: inputs that were tried
    sed -n 's/^stat::number_of_executed_units: *//p; s/^Done \([0-9]*\) runs.*/\1/p' "$1" | tail -n 1
}

# Sets runs to how many inputs the target tried, after more of them if there were too few. Uses the names of run_one.
go_on() {
    runs=$(count "$build/$name.log")
    [ "${runs:-0}" -lt "$least" ] || return 0
    # shellcheck disable=SC2086
    $set_up "$corpus" $seeds $limits -max_total_time=$((5 * seconds + 20)) -runs=$((least - ${runs:-0})) \
        >"$build/$name.more.log" 2>&1 || return 1
    more=$(count "$build/$name.more.log")
    runs=$((${runs:-0} + ${more:-0}))
}

# One target, in a process of its own. Prints one line; a target that fails leaves a file behind.
run_one() {                              # run_one FILE
    name=$(basename "${1%.*}")
    corpus=$build/corpus/$name
    mkdir -p "$corpus"
    seeds=tests/fuzz/seeds/$name
    [ -d "$seeds" ] || seeds=
    # A minute for one input: on a busy machine the process may not run for ten seconds.
    limits="-timeout=60 -rss_limit_mb=2048 -artifact_prefix=$build/crash-$name- -print_final_stats=1"
    case $1 in
        *.py) set_up="$python $1" ;;
        *.c) set_up=$build/$name; compile "$1" "$set_up" ;;
    esac
    # shellcheck disable=SC2086
    if $set_up "$corpus" $seeds $limits -max_total_time="$seconds" >"$build/$name.log" 2>&1 && go_on; then
        printf '%-36s %12s inputs%s\n' "$name" "$runs" "$([ "$runs" -ge "$least" ] || echo ", few")"
    else
        : >"$build/failed/$name"
        printf '%-36s FAILED\n' "$name"
        tail -n 30 "$build/$name.log" "$build/$name.more.log" 2>/dev/null || :
    fi
}

if [ "${FUZZ_TARGET:-}" ]; then
    run_one "$FUZZ_TARGET"
    exit
fi
"$python" -c 'import atheris' 2>/dev/null ||
    .venv/bin/pip --disable-pip-version-check --quiet --retries 10 --timeout 60 install \
        --require-hashes --no-deps --requirement requirements/fuzz.lock
rm -rf "$build/failed" "$build"/*.more.log
mkdir -p "$build/failed"
for target in tests/fuzz/fuzz_*.py tests/fuzz/fuzz_*.c; do
    case " $* " in "  " | *" $(basename "${target%.*}") "*) echo "$target" ;; esac
done | xargs -P "$(nproc)" -I '{}' env FUZZ_TARGET='{}' tests/fuzz/run.sh "$seconds" ||
    { echo "a target ended without a word" >&2; exit 1; }
failed=$(ls "$build/failed")
[ -z "$failed" ] || { echo failed: $failed >&2; exit 1; }
