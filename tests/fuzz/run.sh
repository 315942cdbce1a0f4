#!/bin/sh
# Runs every fuzz target for SECONDS each: fuzz_*.py under atheris, fuzz_*.c under libFuzzer with ASan and UBSan.
#
#   tests/fuzz/run.sh SECONDS [TARGET...]
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
python=$PWD/.venv/bin/python
build=.build/fuzz
mkdir -p "$build/corpus"
"$python" -c 'import atheris' 2>/dev/null ||
    .venv/bin/pip --disable-pip-version-check --quiet --retries 10 --timeout 60 install \
        --require-hashes --no-deps --requirement requirements/fuzz.lock

directive() { sed -n "1,12s|^/\* fuzz-$2: \(.*\) \*/\$|\1|p" "$1"; }

compile() {                              # compile SOURCE BINARY
    # shellcheck disable=SC2046  # lists of words
    clang -g -O1 -std=gnu11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -D_GNU_SOURCE \
        -I. -Isentry_engine/native -Ivpn_frontend/native -I"$(cat .build/wolfssl)/include" $(directive "$1" flags) \
        "$1" $(directive "$1" sources) -o "$2" -L"$(cat .build/wolfssl)/lib" -Wl,--as-needed -lwolfssl -lm -lpthread
}

failed=
for target in tests/fuzz/fuzz_*; do
    name=$(basename "${target%.*}")
    case " $* " in "  " | *" $name "*) ;; *) continue ;; esac
    corpus=$build/corpus/$name
    mkdir -p "$corpus"
    seeds=tests/fuzz/seeds/$name
    [ -d "$seeds" ] || seeds=
    # A minute for one input: on a busy machine the process may not run for ten seconds.
    limits="-max_total_time=$seconds -timeout=60 -rss_limit_mb=2048 -artifact_prefix=$build/crash-$name- -print_final_stats=1"
    case $target in
        *.py) set_up="$python $target" ;;
        *.c) compile "$target" "$build/$name"; set_up=$build/$name ;;
        *) continue ;;
    esac
    # shellcheck disable=SC2086
    if $set_up "$corpus" $seeds $limits >"$build/$name.log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p; s/^Done \([0-9]*\) runs.*/\1/p' "$build/$name.log" | tail -n 1)
        printf '%-36s %12s runs\n' "$name" "${runs:-?}"
    else
        failed="$failed $name"
        printf '%-36s FAILED\n' "$name"
        tail -n 30 "$build/$name.log"
    fi
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
