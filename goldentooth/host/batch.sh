# What a host does for this project: many commands in one go, each answered when it ends.
#
# For root this text itself comes over the connection; for another user it is installed as a
# program that sudo allows, and then root's list says what may be run. Needs GNU tools.
#
# The request, on standard input, is a line `PROTOCOL MARK WAY COUNT`; then for each command
# a line `SECONDS LINES BYTES`, its text in so many lines, so many bytes for it to read, `end`.
# WAY is `run` (one after the other) or `gather` (side by side: commands that only read).
# The answer is raw bytes between lines that begin with MARK, which no output holds by chance.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022

protocol=1
output_limit=67108864 # bytes of standard output that are answered of one command
error_limit=65536
allowed= # the list of what may be run; none: anything
newline='
'

# main: answer the request. main VERB WORDS: do that alone.
main() {
    load_list
    if [ "$#" -eq 0 ]; then serve; else call_verb "$@"; fi
}

# -- a request ---------------------------------------------------------------------------

serve() {
    read -r version mark way count || exit 2
    printf '%s start %s\n' "$mark" "$protocol"
    [ "$version" = "$protocol" ] || exit 2
    trap 'exit 1' HUP INT TERM PIPE
    open_folder
    index=0
    running=0
    answered=0
    while [ "$index" -lt "$count" ]; do
        receive
        if [ "$way" = gather ]; then
            answer_until 7
            aside &
            running=$((running + 1))
        else
            in_turn
        fi
        index=$((index + 1))
    done
    answer_until 0
    printf '\n%s done\n' "$mark"
}

# In memory: what is read must not depend on a disk that is full or read-only.
open_folder() {
    for place in /run /dev/shm "${TMPDIR:-/tmp}"; do
        [ -w "$place" ] && folder=$(mktemp -d "$place/goldentooth.XXXXXX" 2>/dev/null) && break
    done
    [ -d "${folder-}" ] || broken "no folder in memory can be written"
    trap 'wait; rm -rf "$folder"' EXIT
    [ "$way" = gather ] || return 0
    mkfifo "$folder/ended" || broken "$folder cannot be written"
    exec 8<>"$folder/ended" # the index of each command that has ended, a line each
}

receive() {
    read -r seconds lines size || exit 1
    IFS= read -r line || exit 1
    while [ "$lines" -gt 1 ]; do
        IFS= read -r part || exit 1
        line=$line$newline$part
        lines=$((lines - 1))
    done
    input=/dev/null
    if [ "$size" -gt 0 ]; then
        input=$folder/$index.in
        head -c "$size" >"$input" || broken "$folder cannot hold what was sent"
    fi
    read -r part && [ "$part" = end ] || exit 1 # it broke off: do nothing by halves
    refused=
    may_run || refused=refused
}

broken() {
    printf '\n%s broken %s\n' "$mark" "$1"
    exit 1
}

# -- a command ---------------------------------------------------------------------------

# Several at a time: each into files, whose size the kernel bounds, so that no process is
# needed for it.
aside() {
    ulimit -f $((output_limit / 512 + 1))
    start_clock
    attempt >"$folder/$index.out" 2>"$folder/$index.said"
    status=$?
    conclude
    echo "$index" >&8
}

# Answers what has ended, until no more than $1 run. All that is ready in one go: most reads take
# less time than to start a process for the answer of each.
answer_until() {
    most=$1
    while [ "$running" -gt "$most" ]; do
        read -r one <&8
        set -- "$folder"/*.end
        ready=$(($# - answered))
        set --
        while set -- "$@" "$one" && [ "$#" -lt "$ready" ]; do read -r one <&8; done
        answer "$@"
        answered=$((answered + $#))
        running=$((running - $#))
    done
}

# One at a time: through pipes, since a command that changes something may write large files.
# A daemon that it leaves behind may hold the pipes open; so they have an end in time too.
in_turn() {
    start_clock
    {
        {
            attempt 2>&3 3>&-
            echo "$?" >"$folder/$index.status"
        } | cut_off "$output_limit" >"$folder/$index.out" 3>&-
    } 3>&1 | cut_off "$error_limit" >"$folder/$index.said"
    read -r status <"$folder/$index.status" || status=125
    conclude
    answer "$index"
}

cut_off() {
    timeout -k 1 "$((${seconds%%.*} + 2))" /bin/sh -c \
        'ulimit -f "$1"; cat; exec cat >/dev/null' sh "$(($1 / 512 + 1))" 2>/dev/null 8<&-
}

attempt() {
    if [ -n "$refused" ]; then
        echo "not in $allowed on this host: deploy the access service, or connect as root" >&2
        return 126
    fi
    set -f
    case $line in
        # shellcheck disable=SC2086  # words
        @*) set -- "$program" goldentooth-host ${line#@} ;;
        *) set -- "$line" ;;
    esac
    timeout -k 1 "$seconds" /bin/sh -c "$@" <"$input" 8<&-
}

# Puts between marks what a command has said, and how it ended.
conclude() {
    printf '\n%s out %s\n' "$mark" "$index" >"$folder/$index.is-out"
    printf '\n%s err %s\n' "$mark" "$index" >"$folder/$index.is-err"
    true >"$folder/$index.err"
    [ ! -s "$folder/$index.said" ] ||
        head -c "$error_limit" "$folder/$index.said" >"$folder/$index.err"
    ending=$refused
    case $status in 124 | 137) was_ended && ending=late ;; esac
    printf '\n%s end %s %s %s\n' "$mark" "$index" "$status" "$ending" >"$folder/$index.end"
}

# Says what has been concluded of the commands with these indices.
answer() {
    for each; do
        [ -s "$folder/$each.end" ] || broken "$folder is full"
        shift
        set -- "$@" "$folder/$each.is-out" "$folder/$each.out" \
            "$folder/$each.is-err" "$folder/$each.err" "$folder/$each.end"
    done
    cat "$@" || exit 1
}

start_clock() {
    read -r began _ </proc/uptime
}

# Whether its time was over; timeout's statuses alone could be the command's own.
was_ended() {
    read -r now _ </proc/uptime
    [ $((${now%%.*} - ${began%%.*})) -ge "${seconds%%.*}" ]
}

# -- what may be done --------------------------------------------------------------------

load_list() {
    [ -z "$allowed" ] || list=$newline$(cat "$allowed" 2>/dev/null)$newline
}

# Whether $line may be run: a verb, which looks itself at what it is given, or a line of the list.
may_run() {
    [ -n "$allowed" ] || return 0
    case $line in @*) return 0 ;; esac
    if [ "$input" = /dev/null ]; then
        case $line in *"$newline"*) ;; *) is_listed "$line" && return ;; esac
    fi
    return 1
}

is_listed() {
    case $list in *"$newline$1$newline"*) return 0 ;; esac
    return 1
}

# Whether path $1 may be read: the list has it as `@path` or `@read`, or `@path` of a folder above
# it with a slash at its end.
may_read() {
    [ -n "$allowed" ] || return 0
    case $1/ in [!/]* | */./* | */../*) return 1 ;; esac
    is_listed "@path $1" || is_listed "@read $1" && return
    above=${1%/}
    while above=${above%/*} && [ -n "$above" ]; do
        is_listed "@path $above/" && return
    done
    return 1
}

# -- verbs: `@NAME WORDS` calls verb_NAME with the words, in a shell of its own ----------

# Others, such as @routes, are activations: what they are given has been looked at by @stage.
call_verb() {
    case $1 in
        files | write | collect | history | record | pristine) ;;
        lock | unlock | stage | backup | abort | arm | swap | activate | confirm | adopt | rollback) ;;
        *) echo "this host's program has no @$1" >&2 && exit 127 ;;
    esac
    verb=verb_$1
    shift
    "$verb" "$@"
}

# Prints the files, one name a line of input, as a tar archive. A name that ends in a slash is
# a folder with all that is in it. What is not there is left out.
verb_files() {
    while IFS= read -r path; do
        if ! may_read "$path"; then
            echo "tar: $path: Cannot open: not in $allowed on this host" >&2
        elif [ -e "$path" ] || [ -L "$path" ]; then
            case $path in
                */) find "$path" -print0 ;;
                *) printf '%s\0' "$path" ;;
            esac
        fi
    done | tar -c -f - --format=pax --pax-option=delete=atime,delete=ctime -P --no-recursion \
        --hard-dereference --quoting-style=literal --null --verbatim-files-from -T -
}

# Writes a file whole or not at all: beside it, under a name that no `*` matches, synced, renamed.
# Its first three lines of input are path, user:group and mode; the rest is the file.
verb_write() {
    set -eu
    IFS= read -r path
    IFS= read -r owner
    IFS= read -r mode
    [ -z "$allowed" ] || is_listed "@file $path $owner $mode" || { echo "not in $allowed on this host" >&2 && exit 126; }
    parent=${path%/*}/
    mkdir -p "$parent"
    trap 'rm -f "${new-}"' EXIT
    new=$(mktemp "$parent.${path##*/}.XXXXXX")
    cat >"$new"
    chown "$owner" "$new"
    chmod "$mode" "$new"
    sync "$new"
    mv -fT "$new" "$path"
    sync "$parent"
}
