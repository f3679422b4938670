# Finds an interpreter. Sourced by `opt/entrypoint` and `opt/wrapper`, which have set `root`, the folder that holds lrap_otel/.
# Nothing here forks where bash runs it, or where /lib shows which architecture this is: 2 ms of a cold start each.

# Call `try HOW COMMAND...` with the command of each interpreter that is there, until that returns 0. HOW is `layer` for the
# layer's own, `other` for one that others may have changed since. `skipped` says why those before were no good.
each_interpreter() {
    lrap_read_paths
    if [ -n "$lrap_python" ]; then
        if [ -f "$lrap_python" ] && [ -x "$lrap_python" ]; then
            try other "$lrap_python" && return
        else
            skip "$lrap_python" "is not there"
        fi
    fi
    if [ -d "$root/lrap-otel/x86_64" ] || [ -d "$root/lrap-otel/aarch64" ]; then
        lrap_find_architecture
        lrap_layer=$root/lrap-otel/$lrap_architecture
        if [ -x "$lrap_layer/ld.so" ] && [ -r "$lrap_layer/python" ]; then
            # Not by the cache of the system's loader: it names another C library's files.
            try layer "$lrap_layer/ld.so" --inhibit-cache --library-path "$lrap_layer/lib" "$lrap_layer/python" && return
        else
            skip "$lrap_layer/python" "is not there"
        fi
    fi
    if [ -x /var/lang/bin/python3 ]; then
        try other /var/lang/bin/python3 && return
    fi
    if command -v python3 >/dev/null; then
        try other python3 && return
    fi
    return 1
}

skip() {
    skipped="${skipped:+$skipped; }$1 $2"
}

# Set `lrap_python` to the value of LRAP_PYTHON in .lrap-paths. The file is read, not run: a shell ends at what it cannot
# parse. Quotes around the value and a carriage return after it are no part of it.
lrap_read_paths() {
    lrap_python=''
    if [ ! -f "$root/.lrap-paths" ] || [ ! -r "$root/.lrap-paths" ]; then
        return
    fi
    while IFS= read -r lrap_line || [ -n "$lrap_line" ]; do
        case $lrap_line in
            *[[:cntrl:]]) lrap_line=${lrap_line%?} ;;
        esac
        lrap_value=${lrap_line#*=}
        case $lrap_value in
            \'*\' | \"*\") lrap_value=${lrap_value#?} lrap_value=${lrap_value%?} ;;
        esac
        case $lrap_line in
            LRAP_PYTHON=*) lrap_python=$lrap_value ;;
        esac
    done <"$root/.lrap-paths"
}

# The architecture of the processes here, which under emulation is not the kernel's: bash knows its own; one of the dynamic
# loaders lies in /lib; `uname` is a process of it.
lrap_find_architecture() {
    lrap_architecture=''
    if [ -n "$BASH_VERSION" ]; then
        lrap_architecture=$HOSTTYPE
    elif [ -e /lib64/ld-linux-x86-64.so.2 ] || [ -e /lib/ld-musl-x86_64.so.1 ]; then
        if [ ! -e /lib/ld-linux-aarch64.so.1 ] && [ ! -e /lib/ld-musl-aarch64.so.1 ]; then
            lrap_architecture=x86_64
        fi
    elif [ -e /lib/ld-linux-aarch64.so.1 ] || [ -e /lib/ld-musl-aarch64.so.1 ]; then
        lrap_architecture=aarch64
    fi
    case $lrap_architecture in
        x86_64 | aarch64) ;;
        *) lrap_architecture=$(uname -m) ;;
    esac
}
